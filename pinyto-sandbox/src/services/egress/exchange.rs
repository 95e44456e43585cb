//! One request and its answer, on a connection of its own.

use std::{convert::Infallible, pin::pin};

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION,
        USER_AGENT,
    },
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use pinyto_core::egress::EgressError;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

/// What can be done with an answer.
pub(super) enum Answer {
    Page(String),
    Redirect {
        location: String,
        /// Whether the form is to be sent again.
        keeps_form: bool,
    },
}

/// How much of an answer is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) header: usize,
    pub(super) body: usize,
}

/// More header fields make an answer unreadable.
const MAX_HEADERS: usize = 100;

/// Sends the request and reads the answer. Nothing is left behind when the future is dropped: the
/// connection is driven here and not by a task.
pub(super) async fn exchange<S>(
    stream: S,
    url: &Url,
    form: Option<&Bytes>,
    size: Size,
) -> Result<Answer, EgressError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = request(url, form)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(size.header)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| EgressError::Unreachable)?;
    let driven = pin!(async {
        // What went wrong with it also reaches who waits for the answer.
        connection.await.ok();
        std::future::pending::<Infallible>().await
    });
    let answered = pin!(async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| EgressError::Unreadable)?;
        answer(response, size.body).await
    });
    tokio::select! {
        answer = answered => answer,
        never = driven => match never {},
    }
}

/// No cookies, no authorization, no proxy: only what stands here is sent.
fn request(url: &Url, form: Option<&Bytes>) -> Result<Request<Full<Bytes>>, EgressError> {
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => return Err(EgressError::ForbiddenScheme),
    };
    let path = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::builder()
        .method(if form.is_some() {
            Method::POST
        } else {
            Method::GET
        })
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("Pinyto/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close");
    if form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    request
        .body(Full::new(form.cloned().unwrap_or_default()))
        .map_err(|error| EgressError::InvalidUrl {
            reason: error.to_string(),
        })
}

async fn answer(response: Response<Incoming>, limit: usize) -> Result<Answer, EgressError> {
    let (head, body) = response.into_parts();
    let keeps_form = match head.status {
        StatusCode::OK => return page(&head.headers, body, limit).await.map(Answer::Page),
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        other => return Err(EgressError::Status(other.as_u16())),
    };
    let location = head
        .headers
        .get(LOCATION)
        .and_then(|value| str::from_utf8(value.as_bytes()).ok())
        .ok_or(EgressError::Status(head.status.as_u16()))?
        .to_owned();
    Ok(Answer::Redirect {
        location,
        keeps_form,
    })
}

async fn page(headers: &HeaderMap, body: Incoming, limit: usize) -> Result<String, EgressError> {
    // Nothing else was asked for. So nothing has to be unpacked, of whatever size.
    if headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(EgressError::Unreadable);
    }
    let announced = body.size_hint().lower();
    if announced > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(EgressError::TooLarge(limit));
    }
    let mut read = Vec::new();
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| EgressError::Unreadable)?;
        if let Ok(data) = frame.into_data() {
            if data.len() > limit - read.len() {
                return Err(EgressError::TooLarge(limit));
            }
            read.extend_from_slice(&data);
        }
    }
    let text = decode(&read, headers.get(CONTENT_TYPE));
    // Other encodings than UTF-8 grow.
    if text.len() > limit {
        return Err(EgressError::TooLarge(limit));
    }
    Ok(text)
}

/// The text by its byte order mark, else by the header, else UTF-8 if it is that, else as browsers
/// guess.
fn decode(bytes: &[u8], content_type: Option<&HeaderValue>) -> String {
    let named = content_type
        .and_then(|value| charset(value.as_bytes()))
        .and_then(Encoding::for_label);
    let encoding = named.unwrap_or_else(|| match str::from_utf8(bytes) {
        Ok(_) => UTF_8,
        Err(_) => WINDOWS_1252,
    });
    encoding.decode(bytes).0.into_owned()
}

/// The parameter `charset` of a media type.
fn charset(content_type: &[u8]) -> Option<&[u8]> {
    content_type
        .split(|byte| *byte == b';')
        .skip(1)
        .find_map(|parameter| {
            let (name, value) = parameter.trim_ascii().split_at_checked("charset=".len())?;
            name.eq_ignore_ascii_case(b"charset=").then(|| {
                value
                    .strip_prefix(b"\"")
                    .and_then(|rest| rest.strip_suffix(b"\""))
                    .unwrap_or(value)
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8], content_type: Option<&'static str>) -> String {
        decode(bytes, content_type.map(HeaderValue::from_static).as_ref())
    }

    #[test]
    fn text_is_decoded_as_the_header_says() {
        assert_eq!(decoded(b"\xfc", Some("text/html; charset=ISO-8859-1")), "ü");
        assert_eq!(
            decoded(b"\xfc", Some("text/html;x=y; Charset=\"latin1\"")),
            "ü"
        );
        assert_eq!(
            decoded("ü".as_bytes(), Some("text/html; charset=utf-8")),
            "ü"
        );
        assert_eq!(
            decoded(b"\xa4", Some("text/plain;charset=iso-8859-15")),
            "€"
        );
        assert_eq!(
            decoded(b"\x82\xa0", Some("text/plain; charset=Shift_JIS")),
            "あ"
        );
    }

    #[test]
    fn text_without_a_known_charset_is_utf_8_if_it_can_be() {
        for header in [
            None,
            Some("text/html"),
            Some("text/html; charset=nosuch"),
            Some(";;="),
        ] {
            assert_eq!(decoded("ü".as_bytes(), header), "ü");
            assert_eq!(decoded(b"\xfc", header), "ü");
        }
    }

    #[test]
    fn a_byte_order_mark_decides() {
        let header = Some("text/html; charset=latin1");
        assert_eq!(decoded(b"\xef\xbb\xbf\xc3\xbc", header), "ü");
        assert_eq!(decoded(b"\xff\xfe\xfc\x00", header), "ü");
    }

    #[test]
    fn what_is_wrong_in_the_encoding_is_replaced() {
        assert_eq!(
            decoded(b"a\xffb", Some("text/html; charset=utf-8")),
            "a\u{fffd}b"
        );
    }
}
