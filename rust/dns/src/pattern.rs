//! Patterns of names (dataplane §3.5.1): what a DNS resource covers.
//!
//! A pattern is a list of labels. `**` stands for zero or more whole labels, `*` for any run of
//! characters inside a label, `?` for one character, `[...]` for one of a class. A pattern that
//! begins with `*.` also covers the name behind it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::Name;
use crate::name::is_label_byte;

/// Longest pattern: that of a name (RFC 1035 §2.3.4).
const MAX_PATTERN: usize = 253;

/// A checked pattern, in lower case.
///
/// The order is that of specificity, most specific first (dataplane §3.5.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
    labels: Box<[Label]>,
}

/// Why a text is not a [`Pattern`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PatternError {
    /// No label at all.
    #[error("the pattern is empty")]
    Empty,
    /// More than 253 characters.
    #[error("the pattern is longer than 253 characters")]
    TooLong,
    /// Two dots in a row, or a dot in front.
    #[error("a label is empty")]
    Label,
    /// `**` beside other characters.
    #[error("`**` must be a label of its own")]
    DoubleStar,
    /// A character class that is empty or has no end.
    #[error("a character class is empty or has no `]`")]
    Class,
    /// A character that no label may hold; names of other scripts are written in their `xn--` form.
    #[error("a label holds a character that is not printable ASCII, or a quote or backslash")]
    Character,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Label {
    /// The label itself.
    Exact(Box<str>),
    /// `*`: any one label.
    Any,
    /// `**`: zero or more labels.
    Deep,
    /// A label with wildcards in it.
    Glob(Box<[Token]>),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Token {
    Byte(u8),
    One,
    Run,
    Class { negated: bool, ranges: Box<[(u8, u8)]> },
}

impl Pattern {
    /// Checks and lower-cases `text`; one trailing dot is taken away.
    ///
    /// # Errors
    /// [`PatternError`] says what breaks the grammar of dataplane §3.5.1.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        let text = text.to_ascii_lowercase();
        let labels = text.split('.').map(parse_label).collect::<Result<_, _>>()?;
        Ok(Self { text: text.into(), labels })
    }

    /// Whether the pattern covers `name`.
    pub fn matches(&self, name: &Name) -> bool {
        self.matches_text(name.as_str())
    }

    /// The same for the text of a name.
    pub(crate) fn matches_text(&self, name: &str) -> bool {
        self.apex() == Some(name) || match_labels(&self.labels, name)
    }

    /// The text: lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name behind a leading `*.`.
    fn apex(&self) -> Option<&str> {
        self.text.strip_prefix("*.")
    }

    /// The labels, leftmost first.
    pub(crate) fn labels(&self) -> &[Label] {
        &self.labels
    }
}

fn parse_label(text: &str) -> Result<Label, PatternError> {
    match text {
        "" => return Err(PatternError::Label),
        "*" => return Ok(Label::Any),
        "**" => return Ok(Label::Deep),
        _ if text.contains("**") => return Err(PatternError::DoubleStar),
        _ => {}
    }
    if !text.bytes().all(is_label_byte) {
        return Err(PatternError::Character);
    }
    if !text.contains(['*', '?', '[']) {
        return Ok(Label::Exact(text.into()));
    }
    let mut tokens = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        tokens.push(match first {
            b'*' => Token::Run,
            b'?' => Token::One,
            b'[' => parse_class(&mut rest)?,
            byte => Token::Byte(byte),
        });
    }
    Ok(Label::Glob(tokens.into()))
}

/// Reads a class behind its `[`; a `]` in first place is a member, `!` in first place negates.
fn parse_class(rest: &mut &[u8]) -> Result<Token, PatternError> {
    let negated = rest.first() == Some(&b'!');
    let body = if negated { rest.get(1..).unwrap_or_default() } else { *rest };
    let end = body.iter().skip(1).position(|&byte| byte == b']').ok_or(PatternError::Class)? + 1;
    let (mut members, tail) = body.split_at(end);
    *rest = tail.get(1..).unwrap_or_default();
    let mut ranges = Vec::new();
    while let [first, others @ ..] = members {
        if let [b'-', last, others @ ..] = others {
            ranges.push((*first, *last));
            members = others;
        } else {
            ranges.push((*first, *first));
            members = others;
        }
    }
    Ok(Token::Class { negated, ranges: ranges.into() })
}

impl Label {
    fn matches(&self, label: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *label,
            Self::Any | Self::Deep => true,
            Self::Glob(tokens) => match_tokens(tokens, label.as_bytes()),
        }
    }
}

impl Token {
    fn matches(&self, byte: u8) -> bool {
        match self {
            Self::Byte(own) => *own == byte,
            Self::One | Self::Run => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&byte)) != *negated
            }
        }
    }
}

/// Wildcard match with one point to fall back to: the last wildcard may take one more item. That is
/// enough, since an earlier wildcard taking more never helps; so hostile patterns cost n·m at most.
fn match_labels(pattern: &[Label], name: &str) -> bool {
    let mut names = name.split('.');
    let mut at = 0;
    let mut fallback = None;
    loop {
        let mut ahead = names.clone();
        match (pattern.get(at), ahead.next()) {
            (Some(Label::Deep), _) => {
                fallback = Some((at + 1, names.clone()));
                at += 1;
                continue;
            }
            (Some(label), Some(text)) if label.matches(text) => {
                names = ahead;
                at += 1;
                continue;
            }
            (None, None) => return true,
            (Some(_) | None, _) => {}
        }
        let Some((resume, ref mut from)) = fallback else { return false };
        if from.next().is_none() {
            return false;
        }
        at = resume;
        names = from.clone();
    }
}

/// The same for the characters of one label.
fn match_tokens(pattern: &[Token], label: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut fallback = None;
    loop {
        match (pattern.get(at), label.get(position)) {
            (Some(Token::Run), _) => {
                at += 1;
                fallback = Some((at, position));
                continue;
            }
            (Some(token), Some(&byte)) if token.matches(byte) => {
                at += 1;
                position += 1;
                continue;
            }
            (None, None) => return true,
            (Some(_) | None, _) => {}
        }
        let Some((resume, ref mut from)) = fallback else { return false };
        *from += 1;
        if *from > label.len() {
            return false;
        }
        at = resume;
        position = *from;
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut own = self.text.bytes().rev();
        let mut theirs = other.text.bytes().rev();
        loop {
            return match (own.next(), theirs.next()) {
                (None, None) => Ordering::Equal,
                (a, b) if a == b => continue,
                (Some(b'?'), Some(b'*')) => Ordering::Less,
                (Some(b'*'), Some(b'?')) => Ordering::Greater,
                (Some(b'?' | b'*'), _) => Ordering::Greater,
                (_, Some(b'?' | b'*')) | (None, _) => Ordering::Less,
                (_, None) => Ordering::Greater,
                (Some(a), Some(b)) => b.cmp(&a),
            };
        }
    }
}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        Self::parse(text)
    }
}
