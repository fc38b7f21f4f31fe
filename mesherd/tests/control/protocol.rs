//! What callers send, right and wrong, and what they get for it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use mesher_control::types::{Claimed, LogLevelSet, Names, Status};
use mesher_control::{Call, Client, ClientError, Error};

use crate::server::{Running, status};

/// One message and its reply as text.
fn exchange(stream: &mut UnixStream, message: &str) -> String {
    stream.write_all(message.as_bytes()).unwrap();
    stream.write_all(&[0]).unwrap();
    read_message(stream)
}

fn read_message(stream: &mut UnixStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).expect("no reply");
        match byte[0] {
            0 => return String::from_utf8(text).unwrap(),
            other => text.push(other),
        }
    }
}

#[test]
fn our_client_gets_typed_answers_and_typed_errors() {
    let running = Running::by_hand();
    let mut client = running.client();
    assert_eq!(client.call::<Status>(&Call::Status {}).unwrap(), status());
    let names: Names = client.call(&Call::Names {}).unwrap();
    assert_eq!(names.names.len(), 20_000);
    let claimed: Claimed = client.call(&Call::Claim { name: "earth".into() }).unwrap();
    assert_eq!(claimed.name, "earth.sol");
    let refused = client.call::<LogLevelSet>(&Call::SetLogLevel { level: "loud".into() }).unwrap_err();
    assert_eq!(refused.to_string(), "'loud' is no log level; expected error, warn, info, debug or trace");
    let dropped = client.call::<Names>(&Call::Peers {}).unwrap_err();
    assert!(matches!(dropped, ClientError::Daemon(Error::NotReady { .. })), "{dropped}");
}

#[test]
fn nobody_there_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = Client::connect(&dir.path().join("mesherd.sock")).unwrap_err().to_string();
    assert!(error.contains("is it running? See: systemctl status data-mesher.service"), "{error}");
}

#[test]
fn bad_requests_get_the_errors_of_the_protocol() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    for (request, error) in [
        (r#"{"method":"org.datamesher.mesherd.Nothing"}"#, "MethodNotFound"),
        (r#"{"method":"org.example.Status"}"#, "InterfaceNotFound"),
        (r#"{"method":"Status"}"#, "InterfaceNotFound"),
        (r#"{"method":"org.varlink.service.Nothing"}"#, "MethodNotFound"),
        (r#"{"method":"org.varlink.service.GetInterfaceDescription"}"#, "InvalidParameter"),
        (
            r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"a.b"}}"#,
            "InterfaceNotFound",
        ),
        (r#"{"method":"org.datamesher.mesherd.Explain"}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Explain","parameters":{"name":7}}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Explain","parameters":[]}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Status","parameters":{"x":1}}"#, "InvalidParameter"),
        (r#"{"method":"org.datamesher.mesherd.Watch"}"#, "ExpectedMore"),
    ] {
        let reply = exchange(&mut stream, request);
        assert!(reply.contains(&format!("\"error\":\"org.varlink.service.{error}\"")), "{request}: {reply}");
    }
    // After all that, the connection still serves.
    assert!(exchange(&mut stream, r#"{"method":"org.datamesher.mesherd.Status"}"#).contains("all is well"));
}

#[test]
fn what_is_no_message_ends_the_connection_after_an_error() {
    let running = Running::by_hand();
    for garbage in ["", "GET / HTTP/1.1", "{}", "[]", "{\"method\":7}", "\u{1}\u{2}", "{\"method\":\"a\""] {
        let mut stream = running.raw();
        let reply = exchange(&mut stream, garbage);
        assert!(reply.contains("org.varlink.service.InvalidParameter"), "{garbage:?}: {reply}");
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0, "{garbage:?}: the connection stays open");
    }
    running.assert_serves("after garbage");
}

#[test]
fn requests_may_come_in_pieces_or_many_at_once_and_without_replies() {
    let running = Running::by_hand();
    let mut stream = running.raw();
    for byte in br#"{"method":"org.datamesher.mesherd.Status"}"# {
        stream.write_all(&[*byte]).unwrap();
        stream.flush().unwrap();
    }
    stream.write_all(&[0]).unwrap();
    assert!(read_message(&mut stream).contains("all is well"));

    let one = "{\"method\":\"org.datamesher.mesherd.Claim\",\"parameters\":{\"name\":\"N\"}}\0";
    let oneway = "{\"method\":\"org.datamesher.mesherd.Status\",\"oneway\":true}\0";
    let many: String = (0..50).map(|i| format!("{oneway}{}", one.replace('N', &format!("n{i}")))).collect();
    stream.write_all(many.as_bytes()).unwrap();
    for number in 0..50 {
        assert!(read_message(&mut stream).contains(&format!("\"n{number}.sol\"")));
    }
}

/// Another crate's client finds what it expects of any Varlink service.
#[test]
fn a_foreign_client_understands_us() {
    let running = Running::by_hand();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(ask_as_a_foreigner(&running));
}

async fn ask_as_a_foreigner(running: &Running) {
    use zlink::varlink_service::Proxy;
    let mut connection = zlink::tokio::unix::connect(running.path()).await.unwrap();
    let info = connection.get_info().await.unwrap().unwrap();
    assert_eq!(info.product, "mesherd");
    let interfaces: Vec<String> = info.interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(interfaces, ["org.varlink.service", "org.datamesher.mesherd"]);
    for interface in interfaces {
        let name = interface.as_str().try_into().unwrap();
        let description = connection.get_interface_description(name).await.unwrap().unwrap();
        assert_eq!(description.parse().unwrap().name().to_string(), interface);
    }
}
