//! Names: the label of a host, the domain of a network, the name of a claim.
//!
//! Names are stored as they were claimed and compared without regard to ASCII case. A value of one of these types is
//! right by construction: parsing, decoding and deserialising all go through the same check.

mod forms;
mod order;
mod parse;

pub use parse::NameError;

/// The longest full name, domain included, without a trailing dot (RFC 1035 §3.1, as text).
pub const MAX_NAME_LENGTH: usize = 253;
/// The longest label (RFC 1035 §2.3.4).
pub const MAX_LABEL_LENGTH: usize = 63;

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

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

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
