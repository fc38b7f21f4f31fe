# systemd 257: its varlinkctl finds and calls everything on the control socket; then the hardened units, as on bookworm.

import json
from pathlib import Path

SOCKET_FILE = "/run/data-mesher/mesherd.sock"
INTERFACE = "org.datamesher.mesherd"
HERE = Path((lambda: None).__code__.co_filename).parent

start_all()
for machine in machines:
    machine.wait_for_unit("data-mesher.service")
    machine.succeed("systemctl disable --quiet --now nsncd.service 2>/dev/null || true")
wait_for_answers(machines, {"mercury.sol": ["192.168.1.1", "2001:db8:1::1"], "mars.sol": ["192.168.1.2", "2001:db8:1::2"]})

# The page's commands, word by word.
follow("docs/control.md", {})


def call(method, parameters="{}"):
    return json.loads(alpha.succeed(f"varlinkctl call --json=short {SOCKET_FILE} {INTERFACE}.{method} '{parameters}'"))


with subtest("varlinkctl info and introspect"):
    said = alpha.succeed(f"varlinkctl info {SOCKET_FILE}")
    assert "mesherd" in said and INTERFACE in said and "org.varlink.service" in said, said
    shown = alpha.succeed(f"varlinkctl introspect {SOCKET_FILE} {INTERFACE}")
    # Comments, which tell what each field means, come along.
    for words in ("method Explain(", "error ReloadFailed(", "Why a name, full or relative to the domain"):
        assert words in shown, (words, shown)
    alpha.succeed(f"cat > /run/shown.varlink <<'END'\n{shown}END", "varlinkctl validate-idl /run/shown.varlink")
    methods = alpha.succeed(f"varlinkctl list-methods {SOCKET_FILE} {INTERFACE}").split()
    assert {f"{INTERFACE}.{m}" for m in ("Status", "Peers", "Names", "Explain", "Table", "Metrics", "Watch", "Reload", "Claim", "Release", "SetLogLevel")} <= set(methods), methods

with subtest("varlinkctl call, every method"):
    assert call("Status")["sentence"].startswith("sol: 1 peer")
    assert [peer["label"] for peer in call("Peers")["peers"]] == ["beta"]
    assert {name["name"] for name in call("Names")["names"]} == {"mercury.sol", "mars.sol", "earth.sol"}
    assert call("Explain", '{"name":"earth"}')["claimants"][0]["standing"] == "holder"
    assert call("Table")["table"]["names"] == 3
    assert "mesher_peers_alive 1" in call("Metrics")["text"]
    assert call("Claim", '{"name":"pluto"}') == {"name": "pluto.sol", "holder": "alpha", "held": True}
    assert call("Release", '{"name":"pluto"}') == {"name": "pluto.sol"}
    assert call("SetLogLevel", '{"level":"debug"}') == {"previous": "info"}
    assert call("Reload") == {"changed": ["log_level"], "needs_restart": [], "warnings": []} or call("SetLogLevel", '{"level":"info"}')

with subtest("varlinkctl call --more"):
    alpha.succeed(f"systemd-run --quiet --unit=watch --service-type=exec sh -c 'varlinkctl call --more --json=short {SOCKET_FILE} {INTERFACE}.Watch {{}} > /run/watched'")
    alpha.wait_until_succeeds("test -s /run/watched", timeout=15)
    alpha.succeed("mesherctl claim ceres")
    alpha.wait_until_succeeds("grep -F '\"name_held\"' /run/watched | grep -F ceres.sol", timeout=15)
    alpha.succeed("systemctl stop watch.service", "mesherctl release ceres")

with subtest("bad requests get errors, and the daemon goes on"):
    for method, parameters, error in (
        (f"{INTERFACE}.Nothing", "{}", "org.varlink.service.MethodNotFound"),
        ("org.example.Status", "{}", "org.varlink.service.InterfaceNotFound"),
        (f"{INTERFACE}.Explain", "{}", "org.varlink.service.InvalidParameter"),
        (f"{INTERFACE}.Explain", '{"name":"a b"}', f"{INTERFACE}.InvalidName"),
        (f"{INTERFACE}.Explain", '{"name":"nobody"}', f"{INTERFACE}.UnknownName"),
        (f"{INTERFACE}.SetLogLevel", '{"level":"loud"}', f"{INTERFACE}.InvalidLogLevel"),
        (f"{INTERFACE}.Watch", "{}", "org.varlink.service.ExpectedMore"),
    ):
        status, said = alpha.execute(f"varlinkctl call {SOCKET_FILE} {method} '{parameters}' 2>&1")
        assert status != 0 and error in said, (method, parameters, status, said)
    status, said = alpha.execute(f"setpriv --reuid=nobody --regid=nogroup --clear-groups varlinkctl call {SOCKET_FILE} {INTERFACE}.Reload '{{}}' 2>&1")
    assert status != 0 and "org.varlink.service.PermissionDenied" in said, said
    assert alpha.get_unit_property("data-mesher.service", "NRestarts") == "0"

exec(compile((HERE.parent / "hardened/script.py").read_text(), str(HERE.parent / "hardened/script.py"), "exec"))
