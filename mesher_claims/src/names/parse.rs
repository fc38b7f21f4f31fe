//! Which texts are names, and why others are not.

use std::str::FromStr;

use super::{ClaimName, Domain, Label, MAX_LABEL_LENGTH, MAX_NAME_LENGTH, NamePattern};

/// Why a name was refused. The text completes "NAME is not a valid …: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// Two dots in a row, or a dot at the start or the end.
    #[error("it has an empty label (two dots in a row, or a dot at an end)")]
    EmptyLabel,
    /// A label of more than 63 bytes.
    #[error("its label '{0}' is {1} bytes long, of {MAX_LABEL_LENGTH} at most")]
    LabelTooLong(String, usize),
    /// The whole is more than 253 bytes.
    #[error("it is {0} bytes long, of {MAX_NAME_LENGTH} at most with the domain")]
    TooLong(usize),
    /// A byte that is not a letter, a digit, `-` or `_`.
    #[error("it contains {0:?}; letters, digits, '-' and '_' are allowed{hint}", hint = international(*.0))]
    BadCharacter(char),
    /// `-` or `_` at the start or the end of a label.
    #[error("its label '{0}' starts or ends with '-' or '_'")]
    BadEdge(String),
    /// More than one label where one was asked for.
    #[error("it has more than one label")]
    NotOneLabel,
    /// `localhost` belongs to every machine itself (RFC 6761 §6.3).
    #[error("'localhost' always means the machine itself and cannot be claimed")]
    Localhost,
    /// A `*` that is not the whole first label of a longer name.
    #[error("'*' is allowed only as the whole first label of a longer name, as in '*.earth'")]
    BadWildcard,
}

/// How a name of other letters than ASCII's is written, which is what programs look up (RFC 5891).
fn international(c: char) -> &'static str {
    if c.is_alphabetic() { ": write an international name in its ASCII form, xn--…" } else { "" }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        if text.contains('.') {
            return Err(NameError::NotOneLabel);
        }
        check_label(text)?;
        Ok(Self(text.into()))
    }
}

impl FromStr for Domain {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        check_length(text)?;
        text.split('.').try_for_each(check_label)?;
        if text.rsplit('.').next().is_some_and(|top| top.eq_ignore_ascii_case("localhost")) {
            return Err(NameError::Localhost);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for ClaimName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        let exact = text.strip_prefix("*.").unwrap_or(text);
        if exact.contains('*') || exact.is_empty() {
            return Err(NameError::BadWildcard);
        }
        exact.split('.').try_for_each(check_label)?;
        if exact.eq_ignore_ascii_case("localhost") {
            return Err(NameError::Localhost);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for NamePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

fn check_length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        length if length > MAX_NAME_LENGTH => Err(NameError::TooLong(length)),
        _ => Ok(()),
    }
}

fn check_label(label: &str) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if let Some(bad) = label.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '-' && *c != '_') {
        return Err(NameError::BadCharacter(bad));
    }
    if label.len() > MAX_LABEL_LENGTH {
        return Err(NameError::LabelTooLong(label.to_owned(), label.len()));
    }
    if label.starts_with(['-', '_']) || label.ends_with(['-', '_']) {
        return Err(NameError::BadEdge(label.to_owned()));
    }
    Ok(())
}
