//! Names as text, in borsh and in serde.

use std::borrow::Cow;
use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use super::{ClaimName, Domain, Label, MAX_NAME_LENGTH, NameError, NamePattern};

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
