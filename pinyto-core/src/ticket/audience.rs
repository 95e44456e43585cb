use std::{fmt, str::FromStr};

/// For which service a ticket is: a URI such as `https://photos.example`, or a name of the service's
/// own choice.
///
/// 1 to 255 of the characters that URIs have (RFC 3986). One with a colon has to begin with a scheme,
/// as RFC 7519 wants it. Comparison is exact: `https://photos.example` and `https://photos.example/`
/// are two audiences.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Audience(String);

/// Why a text is no audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "An audience is an absolute URI or a name of 1 to {max} characters, each one that URIs have: ASCII, no space.",
    max = Audience::MAX_LENGTH
)]
#[non_exhaustive]
pub struct InvalidAudience;

impl InvalidAudience {
    /// The stable name of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_audience"
    }
}

impl Audience {
    /// The most characters an audience may have.
    pub const MAX_LENGTH: usize = 255;

    /// Checks `text`.
    ///
    /// # Errors
    ///
    /// [`InvalidAudience`] if it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidAudience> {
        let fits = (1..=Self::MAX_LENGTH).contains(&text.len())
            && text.bytes().all(is_of_uri)
            && text
                .split_once(':')
                .is_none_or(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidAudience)
        }
    }

    /// The audience as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Unreserved, reserved or the percent sign (RFC 3986, 2). None has to be escaped in JSON.
fn is_of_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte)
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

impl FromStr for Audience {
    type Err = InvalidAudience;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_an_absolute_uri_or_a_name() {
        let longest = "a".repeat(Audience::MAX_LENGTH);
        for good in [
            "photos",
            "photos.example",
            "a/b",
            "https://photos.example",
            "https://[2001:db8::1]:8443/a?b=c%20d#e",
            "urn:example:photos",
            &longest,
        ] {
            assert_eq!(Audience::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(Audience::MAX_LENGTH + 1);
        for bad in [
            "", " ", "a b", "a\n", "a\0", "a\u{7f}", "ä", "a\"b", "a\\b", "a<b", "a^b", "a`b",
            "a|b", "{a}", ":", ":a", "a:", "1:2", "/a:b", "a_b:c", &too_long,
        ] {
            assert_eq!(Audience::parse(bad), Err(InvalidAudience), "{bad:?}");
        }
    }

    #[test]
    fn two_that_differ_in_anything_are_two() {
        let parse = |text| Audience::parse(text).unwrap();
        assert_ne!(parse("https://a.example"), parse("https://a.example/"));
        assert_ne!(parse("https://a.example"), parse("https://A.example"));
    }
}
