//! Names: the label of a host, the domain of a network, the name of a claim.
//!
//! Names are stored as they were claimed and compared without regard to ASCII case. A value of one of these types is
//! right by construction: parsing, decoding and deserialising all go through the same check.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

/// The longest full name, domain included, without a trailing dot (RFC 1035 §3.1, as text).
pub const MAX_NAME_LENGTH: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
pub const MAX_LABEL_LENGTH: usize = 63;

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
    #[error("it contains {0:?}; letters, digits, '-' and '_' are allowed")]
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

/// One label: what a host calls itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Box<str>);

/// The domain all of a network's names live under, such as `sol` or `mesh.example.org`.
#[derive(Clone)]
pub struct Domain(Box<str>);

/// The name of a claim, relative to the network's domain: `earth`, `grafana.earth`, or the wildcard `*.earth`.
#[derive(Clone)]
pub struct ClaimName(Box<str>);

/// A pattern of names that a certificate allows: a name, or `*.` and a name, which allows every name below it
/// and the wildcard itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamePattern(ClaimName);

impl Label {
    /// The label as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Domain {
    /// The domain as it was given, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The domain's number of labels: `sol` has one.
    pub fn labels(&self) -> usize {
        self.0.split('.').count()
    }

    /// What a claim of this network means for `name`, which may be relative (`earth`) or full (`earth.sol`).
    ///
    /// # Errors
    /// When the part before the domain is not a valid claim name.
    pub fn relative(&self, name: &str) -> Result<ClaimName, NameError> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let head = name.len().checked_sub(self.0.len() + 1).and_then(|at| {
            let (head, tail) = (name.get(..at)?, name.get(at + 1..)?);
            (name.as_bytes()[at] == b'.' && tail.eq_ignore_ascii_case(&self.0)).then_some(head)
        });
        head.unwrap_or(name).parse()
    }
}

impl ClaimName {
    /// The name as it was claimed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in lower case, as keys are written.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// Whether this is a wildcard, such as `*.earth`.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The full name under `domain`: `earth` under `sol` is `earth.sol`.
    pub fn under(&self, domain: &Domain) -> String {
        format!("{}.{}", self.0, domain.0)
    }

    /// Whether the full name under `domain` is short enough to be asked for.
    pub fn fits(&self, domain: &Domain) -> bool {
        self.0.len() + 1 + domain.0.len() <= MAX_NAME_LENGTH
    }
}

impl NamePattern {
    /// Whether `name` may be claimed under this pattern.
    pub fn allows(&self, name: &ClaimName) -> bool {
        if self.0 == *name {
            return true;
        }
        let Some(parent) = self.0.as_str().strip_prefix("*.") else { return false };
        let name = name.as_str();
        name.len() > parent.len() + 1
            && name.as_bytes()[name.len() - parent.len() - 1] == b'.'
            && name.as_bytes()[name.len() - parent.len()..].eq_ignore_ascii_case(parent.as_bytes())
    }
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

/// Orders and equates by ASCII-folded bytes.
macro_rules! folded_order {
    ($type:ty) => {
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                let fold = |text: &'_ str| text.as_bytes().to_ascii_lowercase();
                if self.0.len() == other.0.len() && self.0.as_bytes().eq_ignore_ascii_case(other.0.as_bytes())
                {
                    return Ordering::Equal;
                }
                fold(&self.0).cmp(&fold(&other.0))
            }
        }
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.0.eq_ignore_ascii_case(&other.0)
            }
        }
        impl Eq for $type {}
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for byte in self.0.bytes() {
                    state.write_u8(byte.to_ascii_lowercase());
                }
                state.write_u8(0xff);
            }
        }
    };
}
folded_order!(Domain);
folded_order!(ClaimName);

/// Text forms, borsh and serde, all through `FromStr`, so that no unchecked value exists.
macro_rules! text_type {
    ($type:ty, $what:literal, $self:ident, $text:expr) => {
        impl fmt::Display for $type {
            fn fmt(&$self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($text)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&$self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt($text, f)
            }
        }
        impl BorshSerialize for $type {
            fn serialize<W: borsh::io::Write>(&$self, writer: &mut W) -> borsh::io::Result<()> {
                BorshSerialize::serialize($text, writer)
            }
        }
        impl BorshDeserialize for $type {
            fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
                let length = u32::deserialize_reader(reader)? as usize;
                if length > MAX_NAME_LENGTH {
                    return Err(invalid(&NameError::TooLong(length)));
                }
                let mut bytes = [0; MAX_NAME_LENGTH];
                reader.read_exact(&mut bytes[..length])?;
                let text = str::from_utf8(&bytes[..length]).map_err(|error| invalid(&error))?;
                let name: Self = text.parse().map_err(|error| invalid(&error))?;
                // A trailing dot parses but is not written: two encodings of one value would make two records of one.
                if name.to_string() == text { Ok(name) } else { Err(invalid(&NameError::EmptyLabel)) }
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&$self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str($text)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(|error| {
                    serde::de::Error::custom(format_args!("'{text}' is not a valid {}: {error}", $what))
                })
            }
        }
    };
}
text_type!(Label, "label", self, &self.0);
text_type!(Domain, "domain", self, &self.0);
text_type!(ClaimName, "host name", self, &self.0);
text_type!(NamePattern, "name pattern", self, self.0.as_str());

fn invalid(error: &dyn fmt::Display) -> borsh::io::Error {
    borsh::io::Error::new(borsh::io::ErrorKind::InvalidData, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<ClaimName, NameError> {
        text.parse()
    }

    #[test]
    fn names_of_several_labels_and_wildcards_are_claims() {
        for text in ["earth", "grafana.earth", "*.earth", "a-b_c.0", "Earth", "xn--mnchen-3ya"] {
            assert_eq!(name(text).unwrap().as_str(), text);
        }
        assert!(name("*.earth").unwrap().is_wildcard());
    }

    #[test]
    fn refused_names_say_why() {
        let long = "a".repeat(64);
        assert_eq!(name(""), Err(NameError::Empty));
        assert_eq!(name("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(name(".a"), Err(NameError::EmptyLabel));
        assert_eq!(name("a."), Err(NameError::EmptyLabel));
        assert_eq!(name(&long), Err(NameError::LabelTooLong(long.clone(), 64)));
        assert_eq!(name(&"a.".repeat(127)), Err(NameError::TooLong(254)));
        assert_eq!(name("a b"), Err(NameError::BadCharacter(' ')));
        assert_eq!(name("a\0"), Err(NameError::BadCharacter('\0')));
        assert_eq!(name("münchen"), Err(NameError::BadCharacter('ü')));
        assert_eq!(name("-a"), Err(NameError::BadEdge("-a".into())));
        assert_eq!(name("a_.b"), Err(NameError::BadEdge("a_".into())));
        assert_eq!(name("localhost"), Err(NameError::Localhost));
        for text in ["*", "*.", "a.*", "*.*.a", "*a.b", "**"] {
            assert!(matches!(name(text), Err(NameError::BadWildcard)), "{text}");
        }
        assert_eq!("a.b".parse::<Label>(), Err(NameError::NotOneLabel));
        assert_eq!("x.localhost".parse::<Domain>(), Err(NameError::Localhost));
    }

    #[test]
    fn comparison_ignores_ascii_case_and_keeps_the_spelling() {
        let (a, b) = (name("Earth").unwrap(), name("eARTH").unwrap());
        assert_eq!(a, b);
        assert_eq!(a.cmp(&b), Ordering::Equal);
        assert_eq!(a.as_str(), "Earth");
        assert_eq!(a.folded(), b.folded());
        assert!(name("a").unwrap() < name("B").unwrap());
    }

    #[test]
    fn a_full_name_is_made_relative_to_its_domain() {
        let sol: Domain = "sol".parse().unwrap();
        for text in ["earth", "earth.sol", "earth.SOL."] {
            assert_eq!(sol.relative(text).unwrap().as_str(), "earth", "{text}");
        }
        assert_eq!(sol.relative("earthsol").unwrap().as_str(), "earthsol");
        assert_eq!(sol.relative("sol").unwrap().as_str(), "sol");
    }

    #[test]
    fn patterns_allow_the_name_or_what_is_below() {
        let pattern = |text: &str| text.parse::<NamePattern>().unwrap();
        assert!(pattern("web").allows(&name("WEB").unwrap()));
        assert!(!pattern("web").allows(&name("a.web").unwrap()));
        assert!(pattern("*.alpha").allows(&name("a.b.ALPHA").unwrap()));
        assert!(pattern("*.alpha").allows(&name("*.alpha").unwrap()));
        assert!(!pattern("*.alpha").allows(&name("alpha").unwrap()));
        assert!(!pattern("*.alpha").allows(&name("xalpha").unwrap()));
    }

    #[test]
    fn bytes_that_are_no_name_do_not_decode() {
        for text in ["", "a..b", "a b", "localhost"] {
            assert!(borsh::from_slice::<ClaimName>(&borsh::to_vec(text).unwrap()).is_err(), "{text:?}");
        }
        assert!(borsh::from_slice::<Domain>(&borsh::to_vec("sol.").unwrap()).is_err());
        assert!(borsh::from_slice::<ClaimName>(&u32::MAX.to_le_bytes()).is_err());
    }
}
