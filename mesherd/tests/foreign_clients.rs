//! The control socket of a running daemon, as the Python client of the Varlink project finds it (`varlink` on PyPI).

mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cluster::Cluster;

const CLIENT: &str = "varlink==31.0.0";

/// The client, installed once into the build directory: it is a library of a few files, and nothing of this machine changes.
fn client() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(CLIENT.replace('=', "-"));
    if !place.join("varlink/client.py").exists() {
        let beside = place.with_extension(std::process::id().to_string());
        let installed = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"])
            .arg(&beside)
            .arg(CLIENT)
            .output()
            .expect("python3 is needed");
        assert!(
            installed.status.success(),
            "{CLIENT} could not be installed (Debian: python3-pip): {installed:?}"
        );
        // Whoever was first has put it there.
        if std::fs::rename(&beside, &place).is_err() {
            std::fs::remove_dir_all(&beside).unwrap();
        }
    }
    place
}

const SCRIPT: &str = r#"
import sys, threading
import varlink

address = "unix:" + sys.argv[1]
INTERFACE = "org.datamesher.mesherd"

with varlink.Client.new_with_address(address) as client:
    assert "method Explain(" in client.get_interface(INTERFACE).description
    with client.open("org.varlink.service") as service:
        info = service.GetInfo()
        assert info["product"] == "mesherd" and INTERFACE in info["interfaces"], info
    with client.open(INTERFACE) as mesher:
        status = mesher.Status()
        assert status["state"] == "alone" and status["host"]["label"] == "alpha", status
        assert [name["name"] for name in mesher.Names()["names"]] == ["earth.sol"]
        explained = mesher.Explain("earth")
        assert explained["claimants"][0]["standing"] == "holder", explained
        assert explained["table"]["addresses"] == [sys.argv[2]], explained
        assert mesher.Peers() == {"peers": []}
        assert mesher.Table()["table"]["names"] == 1
        assert "mesher_names_held 1" in mesher.Metrics()["text"]
        assert mesher.SetLogLevel("debug") == {"previous": "info"}
        assert mesher.Reload(None)["changed"] == ["log_level"] or mesher.SetLogLevel("info")

        for call, error in (
            (lambda: mesher.Explain("a b"), INTERFACE + ".InvalidName"),
            (lambda: mesher.Explain("nobody"), INTERFACE + ".UnknownName"),
            (lambda: mesher.SetLogLevel("loud"), INTERFACE + ".InvalidLogLevel"),
            (lambda: mesher.Release("earth"), INTERFACE + ".NotClaimed"),
        ):
            try:
                call()
            except varlink.VarlinkError as refused:
                assert refused.error() == error, refused
            else:
                raise AssertionError(error)

        # What happens while it watches reaches it, one reply after the other.
        with client.open(INTERFACE) as watcher:
            changes = watcher.Watch(_more=True)
            begun = next(changes)
            # It leaves out what is null.
            assert begun["missed"] == 0 and begun.get("change") is None, begun
            claimed = mesher.Claim("mars")
            assert claimed == {"name": "mars.sol", "holder": "alpha", "held": True}, claimed
            kinds = []
            while "name_held" not in kinds:
                change = next(changes)["change"]
                kinds.append(change["kind"])
                held = change
            assert held["name"] == "mars.sol", held
        assert mesher.Release("mars") == {"name": "mars.sol"}
print("all of it")
"#;

#[test]
fn the_python_client_finds_calls_and_watches() {
    let library = client();
    let cluster = Cluster::new(60_000);
    let mut alpha = cluster.daemon("alpha", 1, &["earth"], &[]);
    alpha.start();
    alpha.wait_for("earth.sol", Some(alpha.address), Duration::from_secs(60));
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(alpha.dir.join("run").join(mesher_control::SOCKET_NAME))
        .arg(alpha.address.to_string())
        .env("PYTHONPATH", library)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said == "all of it\n", "{output:?}\n{}", alpha.log());
}
