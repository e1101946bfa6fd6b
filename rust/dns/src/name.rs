//! A checked domain name: the form in which names are compared, hashed and sent to a peer.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name in text form, without the trailing dot (RFC 1035 §2.3.4).
const MAX_NAME: usize = 253;
/// Longest label (RFC 1035 §2.3.4).
const MAX_LABEL: usize = 63;

/// A domain name in lower case, without a trailing dot, at most 253 characters.
///
/// Labels hold printable ASCII but no dot, space, quote or backslash, so that the text is safe in
/// JSON and in a log line. Cloning copies a pointer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// No label at all.
    #[error("the name is empty")]
    Empty,
    /// More than 253 characters.
    #[error("the name is longer than 253 characters")]
    TooLong,
    /// A label is empty or longer than 63 characters.
    #[error("a label has no character or more than 63")]
    Label,
    /// A character that no label may hold.
    #[error("a label holds a character that is not printable ASCII, or a quote or backslash")]
    Character,
}

impl Name {
    /// Checks and lower-cases `text`; one trailing dot is taken away.
    ///
    /// # Errors
    /// [`NameError`] says which limit of RFC 1035 §2.3.4 the text breaks.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong);
        }
        for label in text.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return Err(NameError::Label);
            }
            if !label.bytes().all(is_label_byte) {
                return Err(NameError::Character);
            }
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        Ok(Self(text.into()))
    }

    /// The text: lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, leftmost first.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('.')
    }
}

/// Whether a label may hold `byte`.
pub(crate) const fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'.' | b'"' | b'\\')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_without_its_dot() {
        assert_eq!(Name::parse("App.Example.NET.").unwrap().as_str(), "app.example.net");
        assert_eq!(Name::parse("_sip._tcp.x").unwrap().labels().next_back(), Some("x"));
    }

    #[test]
    fn limits_of_rfc_1035_are_kept() {
        let label = "a".repeat(63);
        let longest = [label.as_str(); 4].join(".");
        assert_eq!(Name::parse(&longest), Err(NameError::TooLong));
        assert!(Name::parse(&longest[..253]).is_ok());
        assert_eq!(Name::parse(&format!("{label}a.com")), Err(NameError::Label));
        assert_eq!(Name::parse("a..b"), Err(NameError::Label));
        assert_eq!(Name::parse("."), Err(NameError::Empty));
        assert_eq!(Name::parse("bücher.example"), Err(NameError::Character));
        assert_eq!(Name::parse("a b"), Err(NameError::Character));
    }
}
