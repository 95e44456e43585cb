//! What a ticket says, and its text.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::{Audience, Ticket, TicketId};
use crate::{
    challenge::ServerKey, clock::Timestamp, crypto::CryptoError, key::KeyFingerprint,
    user::UserName,
};

/// `{"alg":"PS256","typ":"pinyto-ticket+jwt"}`: the only header there is.
pub(super) const HEADER: &str = "eyJhbGciOiJQUzI1NiIsInR5cCI6InBpbnl0by10aWNrZXQrand0In0";

/// What a ticket says. Its times are whole seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) issuer: KeyFingerprint,
    pub(super) user: UserName,
    pub(super) audience: Audience,
    pub(super) issued_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) id: TicketId,
}

/// The claims as JSON. What is there twice, or not listed, is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Members {
    iss: String,
    sub: String,
    aud: String,
    iat: u64,
    exp: u64,
    jti: String,
}

impl Claims {
    /// The whole ticket. Costs one private operation.
    pub(super) fn signed_by(&self, key: &ServerKey) -> Result<Ticket, CryptoError> {
        let claims = URL_SAFE_NO_PAD.encode(self.to_json());
        let signed = format!("{HEADER}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(key.sign_ps256(signed.as_bytes())?);
        Ok(Ticket(format!("{signed}.{signature}").into()))
    }

    /// None of the texts has a character that JSON escapes.
    fn to_json(&self) -> String {
        format!(
            r#"{{"iss":"{}","sub":"{}","aud":"{}","iat":{},"exp":{},"jti":"{}"}}"#,
            self.issuer,
            self.user,
            self.audience,
            self.issued_at.unix_seconds(),
            self.expires_at.unix_seconds(),
            self.id
        )
    }

    /// Reads what a ticket says. Whether any of it is true isn't decided here.
    pub(super) fn from_json(json: &[u8]) -> Option<Self> {
        // What is derived would read a list as well.
        if json.first() != Some(&b'{') {
            return None;
        }
        let members: Members = serde_json::from_slice(json).ok()?;
        let lifetime = members.exp.checked_sub(members.iat)?;
        if !(1..=Ticket::MAX_LIFETIME.as_secs()).contains(&lifetime) {
            return None;
        }
        Some(Self {
            issuer: KeyFingerprint::parse(&members.iss).ok()?,
            user: UserName::parse(&members.sub).ok()?,
            audience: Audience::parse(&members.aud).ok()?,
            issued_at: moment(members.iat)?,
            expires_at: moment(members.exp)?,
            id: TicketId::parse(&members.jti)?,
        })
    }
}

fn moment(unix_seconds: u64) -> Option<Timestamp> {
    let millis = i64::try_from(unix_seconds).ok()?.checked_mul(1000)?;
    Some(Timestamp::from_unix_millis(millis))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn some() -> Value {
        json!({
            "iss": "0123456789abcdef".repeat(4),
            "sub": "ada",
            "aud": "https://photos.example",
            "iat": 1_772_366_400,
            "exp": 1_772_366_700,
            "jti": "AAECAwQFBgcICQoLDA0ODw",
        })
    }

    fn read(text: &str) -> Option<Claims> {
        Claims::from_json(text.as_bytes())
    }

    #[test]
    fn the_header_is_the_one_that_is_documented() {
        let header = r#"{"alg":"PS256","typ":"pinyto-ticket+jwt"}"#;
        assert_eq!(HEADER, URL_SAFE_NO_PAD.encode(header));
    }

    #[test]
    fn claims_are_written_as_they_are_documented() {
        let claims = read(&some().to_string()).unwrap();
        let written = concat!(
            r#"{"iss":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","sub":"ada","#,
            r#""aud":"https://photos.example","iat":1772366400,"exp":1772366700,"#,
            r#""jti":"AAECAwQFBgcICQoLDA0ODw"}"#
        );
        assert_eq!(claims.to_json(), written);
    }

    #[test]
    fn claims_that_are_missing_twice_unknown_or_of_another_form_are_refused() {
        let good = some();
        for (name, bad) in [
            (
                "iss",
                vec![json!("ada"), json!(""), json!(1), json!(["0".repeat(64)])],
            ),
            (
                "sub",
                vec![json!(""), json!("a b"), json!(null), json!("ä")],
            ),
            (
                "aud",
                vec![json!(["https://photos.example"]), json!(""), json!("a b")],
            ),
            (
                "iat",
                vec![
                    json!("1772366400"),
                    json!(1_772_366_400.5),
                    json!(-1),
                    json!(0),
                ],
            ),
            (
                "exp",
                vec![json!(1_772_366_400), json!(1_772_370_001), json!(u64::MAX)],
            ),
            (
                "jti",
                vec![json!(""), json!("AAECAwQFBgcICQoLDA0ODx"), json!("AAEC")],
            ),
        ] {
            let mut changed = good.clone();
            changed.as_object_mut().unwrap().remove(name);
            assert_eq!(read(&changed.to_string()), None, "no {name}");
            for value in bad {
                changed[name] = value;
                assert_eq!(read(&changed.to_string()), None, "{changed}");
            }
            let text = good.to_string();
            let twice = format!("{},\"{name}\":{}}}", &text[..text.len() - 1], good[name]);
            assert_eq!(read(&twice), None, "{twice}");
        }
        let mut more = good.clone();
        more["nbf"] = json!(1);
        assert_eq!(read(&more.to_string()), None);
        let list = json!([good["iss"], "ada", "photos", 1, 2, good["jti"]]).to_string();
        for text in [
            "",
            "{}",
            "null",
            &list,
            &format!(" {good}"),
            &format!("{good}x"),
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        let mut huge = good;
        (huge["iat"], huge["exp"]) = (json!(u64::MAX - 1), json!(u64::MAX));
        assert_eq!(read(&huge.to_string()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            fingerprint: [u8; 32],
            user in "[A-Za-z0-9_]{1,30}",
            audience in r"[-A-Za-z0-9._~/?#\[\]@!$&'()*+,;=%]{1,255}",
            issued in 0..1_i64 << 40,
            lifetime in 1..=3600_i64,
            id: [u8; 16],
        ) {
            let claims = Claims {
                issuer: KeyFingerprint::from_bytes(fingerprint),
                user: UserName::parse(&user).unwrap(),
                audience: Audience::parse(&audience).unwrap(),
                issued_at: Timestamp::from_unix_millis(issued * 1000),
                expires_at: Timestamp::from_unix_millis((issued + lifetime) * 1000),
                id: TicketId(id),
            };
            prop_assert_eq!(read(&claims.to_json()), Some(claims));
        }
    }
}
