//! The messages: what a caller sends, and what goes back.

use mesher_control::{BadCall, Call, Error, INTERFACE, INTERFACE_TEXT};
use serde::Serialize;
use serde_json::{Value, json};

/// The interface that every Varlink service has (varlink.org/Service).
const SERVICE: &str = "org.varlink.service";

const SERVICE_TEXT: &str = "\
# What every Varlink service can be asked: what it is and which interfaces it has.
interface org.varlink.service

# The service and its interfaces.
method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

# The description of one of the interfaces.
method GetInterfaceDescription(interface: string) -> (description: string)

# There is no such interface.
error InterfaceNotFound (interface: string)

# The interface has no such method.
error MethodNotFound (method: string)

# The method exists, and is not implemented.
error MethodNotImplemented (method: string)

# A parameter is missing, unknown, or of the wrong type.
error InvalidParameter (parameter: string)

# The caller may not do this.
error PermissionDenied ()

# The method answers more than once and must be called with \"more\".
error ExpectedMore ()
";

/// A message from a caller.
#[derive(Debug)]
pub(super) struct Incoming {
    /// What to do about it.
    pub(super) what: What,
    /// Whether the caller takes several replies.
    pub(super) more: bool,
    /// Whether the caller wants no reply.
    pub(super) oneway: bool,
}

/// What a message asks for.
#[derive(Debug)]
pub(super) enum What {
    /// One of the daemon's own methods.
    Call(Call),
    /// Something that is answered right here.
    Answer(Vec<u8>),
}

/// Reads a message, without its NUL. `Err` holds the reply to one that is none at all, after which the connection cannot be
/// trusted to be in step.
pub(super) fn read(message: &[u8]) -> Result<Incoming, Vec<u8>> {
    let request: varlink::Request<'_> = serde_json::from_slice(message)
        .map_err(|_| service_error("InvalidParameter", json!({"parameter": "method"})))?;
    let flag = |flag: Option<bool>| flag == Some(true);
    let (more, oneway) = (flag(request.more), flag(request.oneway));
    let what = dispatch(&request.method, request.parameters.unwrap_or_default(), more);
    Ok(Incoming { what, more, oneway })
}

fn dispatch(full_name: &str, parameters: Value, more: bool) -> What {
    let answer = |error, parameters| What::Answer(service_error(error, parameters));
    let Some((interface, method)) = full_name.rsplit_once('.') else {
        return answer("InterfaceNotFound", json!({"interface": full_name}));
    };
    match interface {
        SERVICE => What::Answer(describe(method, full_name, &parameters)),
        INTERFACE => match Call::parse(method, parameters) {
            Ok(Call::Watch {}) if !more => answer("ExpectedMore", json!({})),
            Ok(call) => What::Call(call),
            Err(BadCall::UnknownMethod) => answer("MethodNotFound", json!({"method": full_name})),
            Err(BadCall::Parameter(parameter)) => answer("InvalidParameter", json!({"parameter": parameter})),
        },
        _ => answer("InterfaceNotFound", json!({"interface": interface})),
    }
}

/// The methods of `org.varlink.service`.
fn describe(method: &str, full_name: &str, parameters: &Value) -> Vec<u8> {
    match method {
        "GetInfo" => success(
            &json!({
                "vendor": "data-mesher",
                "product": "mesherd",
                "version": env!("CARGO_PKG_VERSION"),
                "url": "https://datamesher.org",
                "interfaces": [SERVICE, INTERFACE],
            }),
            None,
        ),
        "GetInterfaceDescription" => match parameters.get("interface").and_then(Value::as_str) {
            Some(INTERFACE) => success(&json!({"description": INTERFACE_TEXT}), None),
            Some(SERVICE) => success(&json!({"description": SERVICE_TEXT}), None),
            Some(other) => service_error("InterfaceNotFound", json!({"interface": other})),
            None => service_error("InvalidParameter", json!({"parameter": "interface"})),
        },
        _ => service_error("MethodNotFound", json!({"method": full_name})),
    }
}

#[derive(Serialize)]
struct Success<'a, T> {
    parameters: &'a T,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<bool>,
}

/// A reply with its NUL. `continues` is `None` but for replies to "more".
pub(super) fn success<T: Serialize>(parameters: &T, continues: Option<bool>) -> Vec<u8> {
    // Not through `varlink::Reply`, whose parameters are a tree: a reply with 100,000 names would need ten times its size.
    message(&Success { parameters, continues })
}

/// An error of the daemon's interface.
pub(super) fn error(error: &Error) -> Vec<u8> {
    message(error)
}

/// `PermissionDenied`.
pub(super) fn permission_denied() -> Vec<u8> {
    service_error("PermissionDenied", json!({}))
}

fn service_error(name: &str, parameters: Value) -> Vec<u8> {
    message(&varlink::Reply::error(format!("{SERVICE}.{name}"), Some(parameters)))
}

fn message<T: Serialize>(value: &T) -> Vec<u8> {
    // Serialising fails only for maps with keys that are no strings; there are none.
    let mut bytes = serde_json::to_vec(value).unwrap_or_else(|error| {
        log::error!("cannot write a reply: {error}");
        br#"{"error":"org.datamesher.mesherd.Failed","parameters":{"reason":"the reply could not be written"}}"#.to_vec()
    });
    bytes.push(0);
    bytes
}
