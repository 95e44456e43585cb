//! What a client says, in whichever of four shapes.

use bytes::Bytes;
use multer::{Constraints, Multipart, SizeLimit};
use serde::Deserialize;

use crate::wire::Object;

/// The longest field, in bytes: no key or message is longer.
const MAX_FIELD: u64 = 64 * 1024;

/// The fields of a login.
#[derive(Default, Deserialize)]
pub(super) struct Login {
    pub(super) keyid: Option<String>,
    pub(super) server_verify_token: Option<String>,
    pub(super) user_token_result: Option<String>,
}

/// Why a body is no login. Repeats nothing of what was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidForm {
    #[error("The body is no form with the fields data[gpg_auth][keyid] and so on, in UTF-8.")]
    Form,
    #[error("The body is no JSON object with an object gpg_auth of strings.")]
    Json,
    #[error("A field is there twice.")]
    Twice,
}

/// Reads a login: a form of one of two types, else JSON.
pub(super) async fn read(content_type: Option<&str>, body: Bytes) -> Result<Login, InvalidForm> {
    let content_type = content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        multipart(content_type, body).await
    } else if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        url_encoded(&body)
    } else {
        json(&body)
    }
}

impl Login {
    /// Takes a field of a form; those that nobody knows are left alone.
    fn take(
        &mut self,
        name: &str,
        value: impl FnOnce() -> Option<String>,
    ) -> Result<(), InvalidForm> {
        let field = match name {
            "data[gpg_auth][keyid]" => &mut self.keyid,
            "data[gpg_auth][server_verify_token]" => &mut self.server_verify_token,
            "data[gpg_auth][user_token_result]" => &mut self.user_token_result,
            _ => return Ok(()),
        };
        let value = value().ok_or(InvalidForm::Form)?;
        match field.replace(value) {
            None => Ok(()),
            Some(_) => Err(InvalidForm::Twice),
        }
    }
}

async fn multipart(content_type: &str, body: Bytes) -> Result<Login, InvalidForm> {
    let form = |_| InvalidForm::Form;
    let boundary = multer::parse_boundary(content_type).map_err(form)?;
    let body = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let limits = Constraints::new().size_limit(SizeLimit::new().per_field(MAX_FIELD));
    let mut fields = Multipart::with_constraints(body, boundary, limits);
    let mut login = Login::default();
    while let Some(field) = fields.next_field().await.map_err(form)? {
        let name = field.name().unwrap_or_default().to_owned();
        let value = field.bytes().await.map_err(form)?;
        login.take(&name, || String::from_utf8(value.into()).ok())?;
    }
    Ok(login)
}

fn url_encoded(body: &[u8]) -> Result<Login, InvalidForm> {
    let mut login = Login::default();
    for (name, value) in form_urlencoded::parse(body) {
        // What is no UTF-8 was replaced.
        let is_text = !value.contains(char::REPLACEMENT_CHARACTER);
        login.take(&name, || is_text.then(|| value.into_owned()))?;
    }
    Ok(login)
}

fn json(body: &[u8]) -> Result<Login, InvalidForm> {
    #[derive(Deserialize)]
    struct Data {
        gpg_auth: Option<Object<Login>>,
    }

    #[derive(Deserialize)]
    struct Body {
        gpg_auth: Option<Object<Login>>,
        data: Option<Object<Data>>,
    }

    // An array would be read as well.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidForm::Json);
    }
    let body: Body = serde_json::from_slice(body).map_err(|_| InvalidForm::Json)?;
    let nested = body.data.and_then(|Object(data)| data.gpg_auth);
    match (body.gpg_auth, nested) {
        (Some(Object(login)), None) | (None, Some(Object(login))) => Ok(login),
        (Some(_), Some(_)) => Err(InvalidForm::Twice),
        (None, None) => Ok(Login::default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn login(content_type: &str, body: &str) -> Result<Login, InvalidForm> {
        read(Some(content_type), body.to_owned().into()).await
    }

    #[tokio::test]
    async fn all_four_shapes_say_the_same() {
        let multipart = "--x\r\nContent-Disposition: form-data; name=\"data[gpg_auth][keyid]\"\r\n\
            \r\nABC\r\n--x\r\nContent-Disposition: form-data; name=\"more\"\r\n\r\n1\r\n\
            --x\r\nContent-Disposition: form-data; name=\"data[gpg_auth][user_token_result]\"\r\n\
            \r\na b+c\r\n--x--\r\n";
        for (content_type, body) in [
            ("multipart/form-data; boundary=x", multipart),
            (
                "application/x-www-form-urlencoded; charset=UTF-8",
                "data%5Bgpg_auth%5D%5Bkeyid%5D=ABC&more=1&data[gpg_auth][user_token_result]=a+b%2Bc",
            ),
            (
                "application/json",
                r#"{"gpg_auth": {"keyid": "ABC", "user_token_result": "a b+c", "more": 1}}"#,
            ),
            (
                "",
                r#" {"data": {"gpg_auth": {"keyid": "ABC", "server_verify_token": null,
                    "user_token_result": "a b+c"}}, "gpg_auth": null}"#,
            ),
        ] {
            let login = login(content_type, body).await.unwrap();
            assert_eq!(login.keyid.as_deref(), Some("ABC"), "{content_type}");
            assert_eq!(login.user_token_result.as_deref(), Some("a b+c"));
            assert_eq!(login.server_verify_token, None);
        }
    }

    #[tokio::test]
    async fn what_is_no_login_is_an_error() {
        let long = format!(
            "--x\r\nContent-Disposition: form-data; name=\"data[gpg_auth][keyid]\"\r\n\r\n{}\r\n--x--",
            "a".repeat(70_000)
        );
        for (content_type, body) in [
            ("multipart/form-data", "--x--"),
            ("multipart/form-data; boundary=x", "--x\r\n"),
            ("multipart/form-data; boundary=x", &long),
            (
                "application/x-www-form-urlencoded",
                "data[gpg_auth][keyid]=%ff",
            ),
            (
                "application/x-www-form-urlencoded",
                "data[gpg_auth][keyid]=1&data[gpg_auth][keyid]=1",
            ),
            ("application/json", ""),
            ("application/json", "[{\"keyid\": \"A\"}, null]"),
            ("application/json", r#"{"gpg_auth": {"keyid": 1}}"#),
            ("application/json", r#"{"gpg_auth": "keyid"}"#),
            ("application/json", r#"{"gpg_auth": ["A", null, null]}"#),
            ("application/json", r#"{"data": [{"keyid": "A"}]}"#),
            (
                "application/json",
                r#"{"gpg_auth": {}, "data": {"gpg_auth": {}}}"#,
            ),
            (
                "application/json",
                r#"{"gpg_auth": {"keyid": "A", "keyid": "A"}}"#,
            ),
        ] {
            assert!(
                login(content_type, body).await.is_err(),
                "{content_type} {body}"
            );
        }
    }
}
