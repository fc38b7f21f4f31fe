//! Holds the types to the interface file.

use zlink::idl::{Interface, Type as IdlType};
use zlink::introspect::{CustomType, ReplyError, Type};

use super::types::*;

fn interface() -> Interface<'static> {
    Interface::try_from(crate::INTERFACE_TEXT).expect("the interface file is not valid Varlink")
}

/// A custom type of the file.
fn in_file(name: &str) -> String {
    let interface = interface();
    let found = interface.custom_types().find(|t| t.name() == name);
    without_comments(&found.unwrap_or_else(|| panic!("no type {name} in the file")).to_string())
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ").replace("( ", "(").replace(" )", ")")
}

/// A choice as the file would have it, from what its values look like on the wire.
fn choice<T: serde::Serialize>(name: &str, all: &[T]) -> (String, String) {
    let values: Vec<String> =
        all.iter().map(|v| serde_json::to_value(v).unwrap().as_str().unwrap().to_owned()).collect();
    (name.to_owned(), format!("type {name} ({})", values.join(", ")))
}

#[test]
fn every_custom_type_is_that_of_the_file() {
    let objects = [
        Network::CUSTOM_TYPE,
        Host::CUSTOM_TYPE,
        Certificate::CUSTOM_TYPE,
        Peer::CUSTOM_TYPE,
        Name::CUSTOM_TYPE,
        Claimant::CUSTOM_TYPE,
        TableEntry::CUSTOM_TYPE,
        HostsTable::CUSTOM_TYPE,
        Change::CUSTOM_TYPE,
    ];
    let choices = [
        choice("State", State::ALL),
        choice("Admission", Admission::ALL),
        choice("PeerState", PeerState::ALL),
        choice("Source", Source::ALL),
        choice("Standing", Standing::ALL),
    ];
    for object in objects {
        assert_eq!(without_comments(&object.to_string()), in_file(object.name()));
    }
    for (name, ours) in &choices {
        assert_eq!(*ours, in_file(name));
    }
    assert_eq!(interface().custom_types().count(), objects.len() + choices.len());
}

/// Some clients keep types, methods and errors under their names in one map.
#[test]
fn no_name_is_used_twice() {
    let interface = interface();
    let types = interface.custom_types().map(|t| t.name().to_string());
    let methods = interface.methods().map(|m| m.name().to_string());
    let mut names: Vec<String> =
        types.chain(methods).chain(interface.errors().map(|e| e.name().to_string())).collect();
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}

#[test]
fn every_reply_is_that_of_the_file() {
    let replies: &[(&str, &IdlType<'_>)] = &[
        ("Status", Status::TYPE),
        ("Peers", Peers::TYPE),
        ("Names", Names::TYPE),
        ("Explain", Explanation::TYPE),
        ("Table", TableReply::TYPE),
        ("Metrics", Metrics::TYPE),
        ("Watch", Watched::TYPE),
        ("Reload", Reloaded::TYPE),
        ("Claim", Claimed::TYPE),
        ("Release", Released::TYPE),
        ("SetLogLevel", LogLevelSet::TYPE),
    ];
    let interface = interface();
    for (name, ours) in replies {
        let method =
            interface.methods().find(|m| m.name() == *name).unwrap_or_else(|| panic!("no method {name}"));
        let fields: Vec<String> =
            method.outputs().map(|field| without_comments(&field.to_string())).collect();
        assert_eq!(without_comments(&ours.to_string()), format!("({})", fields.join(", ")), "{name}");
    }
    assert_eq!(interface.methods().count(), replies.len());
}

#[test]
fn every_error_is_that_of_the_file() {
    let shown = |error: &zlink::idl::Error<'_>| without_comments(&error.to_string());
    let interface = interface();
    let file: Vec<String> = interface.errors().map(shown).collect();
    let ours: Vec<String> = crate::Error::VARIANTS.iter().map(|error| shown(error)).collect();
    assert_eq!(ours, file);
}

#[test]
fn every_method_can_be_called_with_the_parameters_of_the_file_and_no_others() {
    use crate::{BadCall, Call};
    for method in interface().methods() {
        let method_name = method.name().to_string();
        let inputs: Vec<String> = method.inputs().map(|field| field.name().to_string()).collect();
        let good: serde_json::Map<String, serde_json::Value> =
            inputs.iter().map(|name| (name.clone(), "earth".into())).collect();
        let call = Call::parse(&method_name, good.clone().into()).expect("a method of the file");
        let (name, parameters) = call.to_parts();
        assert_eq!(name, format!("{}.{method_name}", crate::INTERFACE));
        assert_eq!(parameters, serde_json::Value::from(good.clone()));

        let mut stray = good.clone();
        stray.insert("stray".into(), 1.into());
        let refused = Call::parse(&method_name, stray.into());
        assert_eq!(refused, Err(BadCall::Parameter("stray".into())));
        if let Some(first) = inputs.first() {
            let alone = Call::parse(&method_name, serde_json::Value::Null);
            let optional = method.inputs().all(|field| field.to_string().contains(": ?"));
            match alone {
                Ok(_) => assert!(optional, "{method_name} without {first}"),
                refused => assert_eq!(refused, Err(BadCall::Parameter(first.clone()))),
            }
            let wrong = serde_json::json!({ first: 7 });
            assert_eq!(Call::parse(&method_name, wrong), Err(BadCall::Parameter(first.clone())));
        }
    }
    assert_eq!(Call::parse("Statu", serde_json::Value::Null), Err(BadCall::UnknownMethod));
}

#[test]
fn errors_travel_as_varlink_has_them() {
    let error = crate::Error::InvalidName { name: "a b".into(), reason: "r".into() };
    let json = serde_json::to_value(&error).unwrap();
    let expected = serde_json::json!({
        "error": "org.datamesher.mesherd.InvalidName", "parameters": {"name": "a b", "reason": "r"}
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<crate::Error>(json).unwrap(), error);
}
