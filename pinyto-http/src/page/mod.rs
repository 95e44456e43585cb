//! Pages for people: no script, nothing from elsewhere.

use std::fmt;

use bytes::Bytes;
use http::{
    HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use pinyto_core::key::PublicKey;
use warp::reply::Response;

use crate::prefix::PathPrefix;

const STYLE: &str = include_str!("style.css");

/// Allows nothing but [`STYLE`], by its SHA-256.
const POLICY: &str = "default-src 'none'; style-src 'sha256-x7PTszE591aEFif1jWtFE5W3NM9bHcE8Y2tgJ8TwKEQ='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What `GET /` answers.
pub(crate) struct FrontPage(Bytes);

impl FrontPage {
    pub(crate) fn new(key: &PublicKey, prefix: &PathPrefix) -> Self {
        let digits = key.fingerprint().to_hex();
        let groups: Vec<&str> = (0..digits.len())
            .step_by(8)
            .filter_map(|start| digits.get(start..start + 8))
            .collect();
        let documentation = if cfg!(feature = "openapi") {
            format!(
                r#"<p>How to talk to it: <a href="{prefix}/docs">the calls</a>, also <a href="{prefix}/openapi.json">for programs</a>.</p>"#
            )
        } else {
            String::new()
        };
        let main = format!(
            r#"<h1>Pinyto</h1>
<p>This is a Pinyto server: a personal database in the cloud. People keep documents here and install
<em>assemblies</em>, small programs that work with them. There is nothing to see without a client.</p>
{documentation}
<h2>The key of this server</h2>
<p>Clients recognise the server by its public key. SHA-256 over its numbers:</p>
<p class="digits"><code>{}</code></p>
<p>Its <code>key_hash</code> is <code>{}</code>; the <a href="{prefix}/public_key">whole key</a>.</p>"#,
            groups.join(" "),
            key.fingerprint().short(),
        );
        Self(whole("Pinyto", &main))
    }

    pub(crate) fn answer(&self) -> Response {
        html(self.0.clone())
    }
}

/// A whole page around `main`, which is HTML.
pub(crate) fn whole(title: &str, main: &str) -> Bytes {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{main}\n</main>\n\
         </body>\n</html>\n",
        Escaped(title)
    )
    .into()
}

/// A page as answer.
pub(crate) fn html(page: Bytes) -> Response {
    let mut answer = Response::new(page.into());
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A text as it is written in HTML, also in attributes.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            other => fmt::Write::write_char(f, other),
        })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest as _, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_the_style_as_it_is() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn a_text_stays_a_text_in_html() {
        let text = Escaped("<a href=\"x\">&amp;").to_string();
        assert_eq!(text, "&lt;a href=&quot;x&quot;&gt;&amp;amp;");
    }
}
