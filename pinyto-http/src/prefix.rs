//! Where the routes are mounted, as clients see it.

use std::fmt;

/// The path under which the routes are mounted, as `/pinyto`. The default is the root.
///
/// ```
/// use pinyto_http::PathPrefix;
///
/// let prefix = PathPrefix::parse("/cloud/pinyto")?;
/// assert_eq!(prefix.as_str(), "/cloud/pinyto");
/// assert!(PathPrefix::parse("pinyto/").is_err());
/// assert_eq!(PathPrefix::default().as_str(), "");
/// # Ok::<_, pinyto_http::InvalidPathPrefix>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathPrefix(String);

/// A text is no prefix of paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a prefix is as \"/pinyto\": at most 256 bytes, each segment after a slash and of ASCII letters, \
     digits and -._~, none of them \".\" or \"..\", no slash at the end"
)]
#[non_exhaustive]
pub struct InvalidPathPrefix;

impl InvalidPathPrefix {
    /// The stable name of the error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "invalid_path_prefix"
    }
}

impl PathPrefix {
    /// The most bytes it has.
    pub const MAX_LENGTH: usize = 256;

    /// Checks `text`. What is allowed needs no escaping, wherever it is written: in HTML, in
    /// headers, in cookies.
    ///
    /// # Errors
    ///
    /// [`InvalidPathPrefix`], also for the root, which is the default.
    pub fn parse(text: &str) -> Result<Self, InvalidPathPrefix> {
        let is_unreserved = |c: u8| c.is_ascii_alphanumeric() || b"-._~".contains(&c);
        let is_segment = |segment: &str| {
            !matches!(segment, "" | "." | "..") && segment.bytes().all(is_unreserved)
        };
        let segments = text.strip_prefix('/').ok_or(InvalidPathPrefix)?;
        if text.len() <= Self::MAX_LENGTH && segments.split('/').all(is_segment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPathPrefix)
        }
    }

    /// The prefix as text: what is put in front of a path that begins with a slash. Empty at the
    /// root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_segments_that_need_no_escaping() {
        let longest = format!("/{}", "a".repeat(255));
        for good in ["/pinyto", "/a/b/c", "/~ada", "/v1.0", "/..a", &longest] {
            assert_eq!(PathPrefix::parse(good).unwrap().as_str(), good);
        }
        let too_long = format!("/{}", "a".repeat(256));
        for bad in [
            "", "/", "pinyto", "/pinyto/", "//pinyto", "/a//b", "/.", "/a/..", "/a b", "/a%20b",
            "/é", "/\"", "/a;b", "/a\r\n", "/a?b", "/a#b", &too_long,
        ] {
            assert_eq!(PathPrefix::parse(bad), Err(InvalidPathPrefix), "{bad}");
        }
    }
}
