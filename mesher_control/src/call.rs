//! The methods of the interface, as calls.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A call of one of the interface's methods. Serialises as an object with `method`, the full name, and `parameters`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "method", content = "parameters")]
#[allow(missing_docs, reason = "the methods are described in the interface file")]
pub enum Call {
    #[serde(rename = "org.datamesher.mesherd.Status")]
    Status {},
    #[serde(rename = "org.datamesher.mesherd.Peers")]
    Peers {},
    #[serde(rename = "org.datamesher.mesherd.Names")]
    Names {},
    #[serde(rename = "org.datamesher.mesherd.Explain")]
    Explain { name: String },
    #[serde(rename = "org.datamesher.mesherd.Table")]
    Table {},
    #[serde(rename = "org.datamesher.mesherd.Metrics")]
    Metrics {},
    #[serde(rename = "org.datamesher.mesherd.Watch")]
    Watch {},
    #[serde(rename = "org.datamesher.mesherd.Reload")]
    Reload {
        #[serde(skip_serializing_if = "Option::is_none")]
        secrets: Option<SecretText>,
    },
    #[serde(rename = "org.datamesher.mesherd.Claim")]
    Claim { name: String },
    #[serde(rename = "org.datamesher.mesherd.Release")]
    Release { name: String },
    #[serde(rename = "org.datamesher.mesherd.SetLogLevel")]
    SetLogLevel { level: String },
}

/// The text of a file of secrets. Not shown by `Debug`, wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, zeroize::ZeroizeOnDrop)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Takes over the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Copies of it are not wiped.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText(…)")
    }
}

/// Why a message is no [`Call`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadCall {
    /// The interface has no such method.
    UnknownMethod,
    /// A parameter is missing, unknown or of the wrong type: its name, or `parameters` if none can be named.
    Parameter(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfName {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSecrets {
    #[serde(default)]
    secrets: Option<SecretText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfLevel {
    level: String,
}

impl Call {
    /// The call of the method `method`, without the interface's name, with `parameters`, which may be null.
    ///
    /// # Errors
    ///
    /// When there is no such method, or a parameter is wrong.
    pub fn parse(method: &str, parameters: Value) -> Result<Self, BadCall> {
        let of_nothing = |call: Self| move |_: Nothing| call;
        match method {
            "Status" => read(parameters, "parameters").map(of_nothing(Self::Status {})),
            "Peers" => read(parameters, "parameters").map(of_nothing(Self::Peers {})),
            "Names" => read(parameters, "parameters").map(of_nothing(Self::Names {})),
            "Table" => read(parameters, "parameters").map(of_nothing(Self::Table {})),
            "Metrics" => read(parameters, "parameters").map(of_nothing(Self::Metrics {})),
            "Watch" => read(parameters, "parameters").map(of_nothing(Self::Watch {})),
            "Reload" => read(parameters, "secrets").map(|of: OfSecrets| Self::Reload { secrets: of.secrets }),
            "Explain" => read(parameters, "name").map(|of: OfName| Self::Explain { name: of.name }),
            "Claim" => read(parameters, "name").map(|of: OfName| Self::Claim { name: of.name }),
            "Release" => read(parameters, "name").map(|of: OfName| Self::Release { name: of.name }),
            "SetLogLevel" => {
                read(parameters, "level").map(|of: OfLevel| Self::SetLogLevel { level: of.level })
            }
            _ => Err(BadCall::UnknownMethod),
        }
    }

    /// The method's full name and the parameters.
    pub fn to_parts(&self) -> (String, Value) {
        // A struct of strings always becomes an object with these two.
        let mut call = serde_json::to_value(self).unwrap_or_default();
        let method = call.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        (method, call.get_mut("parameters").map(Value::take).unwrap_or_default())
    }

    /// Whether it changes something, and so is not for everyone.
    pub fn is_change(&self) -> bool {
        match self {
            Self::Reload { .. } | Self::Claim { .. } | Self::Release { .. } | Self::SetLogLevel { .. } => {
                true
            }
            Self::Status {}
            | Self::Peers {}
            | Self::Names {}
            | Self::Explain { .. }
            | Self::Table {}
            | Self::Metrics {}
            | Self::Watch {} => false,
        }
    }
}

/// The parameters as `T`, whose one field, if it has one, is `field`.
fn read<T: DeserializeOwned>(parameters: Value, field: &str) -> Result<T, BadCall> {
    let parameters = if parameters.is_null() { Value::Object(serde_json::Map::new()) } else { parameters };
    let stray = parameters.as_object().and_then(|map| map.keys().find(|&key| key != field).cloned());
    serde_json::from_value(parameters)
        .map_err(|_| BadCall::Parameter(stray.unwrap_or_else(|| field.to_owned())))
}
