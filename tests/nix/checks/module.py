"""The module, evaluated with nixpkgs' real lib over a stub of the NixOS options it touches."""

import json
import re
import sys
from pathlib import Path

from . import schema
from .tools import Failed, Tools, expect, run

ID = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw="
OTHER_ID = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
MEMBER = f'services.data-mesher = {{ enable = true; settings.network.id = "{ID}"; }};'


def evaluate(tools: Tools, *modules: str, cross: bool = False) -> dict:
    """What a machine with these modules would have. A module is a file or the inside of an attribute set."""
    return tools.evaluate(
        f"import {tools.repository}/tests/nix/evaluate.nix {{ libPath = {tools.lib}; crossCompiled = {str(cross).lower()}; "
        f"modules = [ {written(tools, *modules)} ]; }}"
    )


def written(tools: Tools, *modules: str) -> str:
    """Modules as elements of a list in Nix, after one that gives the machine a name."""
    named = f"{{ networking.hostName = (import {tools.lib}).mkDefault \"alpha\"; }}"
    return " ".join([named, *(module if module.startswith("/") else f"{{ {module} }}" for module in modules)])


def examples(tools: Tools) -> dict[str, dict]:
    """The examples, each as a machine."""
    folder = tools.repository / "nixos-module/examples"
    clan = 'networking.hostName = "beta";'
    return {file.stem: evaluate(tools, str(file), clan if file.stem == "clan" else "") for file in sorted(folder.glob("*.nix"))}


def sound(tools: Tools) -> None:
    """The examples evaluate, with no assertion failed and nothing to warn of."""
    found = examples(tools)
    expect("examples", sorted(found), ["clan", "first-machine", "member"])
    for name, machine in found.items():
        expect(f"{name}: failed assertions", machine["failed"], [])
        expect(f"{name}: warnings", machine["warnings"], [])
    member = found["member"]
    expect("packages with units", member["packages"], [member["package"]])
    expect("packages with programs", member["programs"], [member["package"]])
    expect("users", sorted(member["users"]), ["data-mesher"])
    expect("the user's group", (member["users"]["data-mesher"]["group"], member["groups"]), ("data-mesher", ["data-mesher"]))
    expect("a system user", member["users"]["data-mesher"]["isSystemUser"], True)
    expect("files in /etc", [*member["etc"], *found["first-machine"]["etc"]], ["data-mesher/config.toml"] * 2)
    expect("the first machine's configuration", found["first-machine"]["etc"]["data-mesher/config.toml"], "/run/data-mesher-network/config.toml")
    expect("what the boot starts", {name: wanted["wantedBy"] for name, wanted in found["first-machine"]["wanted"].items()},
           {"data-mesher-catalogue.service": ["multi-user.target"], "data-mesher-network.service": [], "data-mesher-port.service": ["multi-user.target"], "data-mesher.service": ["multi-user.target"]})
    expect("without enable", evaluate(tools)["units"], {})


def lookups(tools: Tools) -> None:
    def hosts(extra: str) -> list[str]:
        return evaluate(tools, MEMBER, extra)["hosts"]

    expect("hosts", hosts(""), ["mymachines", "files", "myhostname", "mesher", "dns"])
    expect("hosts with resolved", hosts("services.resolved.enable = true;"),
           ["mymachines", "mesher", "resolve [!UNAVAIL=return]", "files", "myhostname", "dns"])
    expect("hosts with an order", hosts("services.data-mesher.nssOrder = 1;")[0], "mesher")
    machine = evaluate(tools, MEMBER)
    expect("nscd's library path", machine["nss_path"], machine["package"] + "-lib/lib")
    said = evaluate(tools, MEMBER, "services.resolved.enable = true; services.data-mesher.nssOrder = 1000;")["failed"]
    _one(said, "no lookup would ever reach the mesh")
    said = evaluate(tools, MEMBER, "services.nscd.enable = false;")["failed"]
    _one([each for each in said if "data-mesher" in each], "services.nscd.enable")
    said = evaluate(tools, MEMBER, "services.nscd.enableNsncd = false;")["warnings"]
    _one(said, "keeps answers")


def secrets(tools: Tools) -> None:
    service = "data-mesher.service"
    text = evaluate(tools, MEMBER)["units"][service]
    expect("credentials", _values(text, "LoadCredential"), ["network.secret:/etc/data-mesher/network.secret"])
    extra = 'services.data-mesher = { secretFile = "/run/secrets/s"; certificateFile = "/run/secrets/c"; };'
    text = evaluate(tools, MEMBER, extra)["units"][service]
    expect("credentials", _values(text, "LoadCredential"), ["network.secret:/run/secrets/s", "host.cert:/run/secrets/c"])
    expect("where a reload finds the secret", evaluate(tools, MEMBER, extra)["settings"]["network"]["secret_file"], "/run/secrets/s")
    store = '"/nix/store/00000000000000000000000000000000-secret"'
    for option in ("secretFile", "certificateFile"):
        _refused(tools, f"services.data-mesher.{option} = {store};", f"services.data-mesher.{option}", "not of type")
    _one(evaluate(tools, MEMBER, 'services.data-mesher.settings.network.secret_file = "/x";')["failed"], "secretFile instead")


def exports(tools: Tools) -> None:
    """The service may write where exports are wanted, and nowhere else."""
    def folders(extra: str) -> list[str]:
        return _values(evaluate(tools, MEMBER, f"services.data-mesher.settings.exports = {{ {extra} }};")["units"]["data-mesher.service"], "ReadWritePaths")

    expect("no exports", folders(""), [])
    expect("exports in the runtime directory", folders('hosts = "/run/data-mesher/exports/hosts";'), [])
    found = folders('hosts = "/run/data-mesher/x"; zone = "/var/lib/dns/sol.zone"; metrics = "/var/lib/node/mesher.prom"; json_lines = "/var/lib/dns/sol.json";')
    expect("exports elsewhere", sorted(found), ["-/var/lib/dns", "-/var/lib/node"])
    _refused(tools, 'services.data-mesher.settings.exports.zone = "/nix/store/00000000000000000000000000000000-zone/x";', "exports.zone", "not of type")


def port(tools: Tools) -> None:
    machine = evaluate(tools, MEMBER)
    expect("a drop-in for the usual port", "data-mesher.socket" in machine["units"], False)
    expect("firewall, unasked", machine["firewall"], [])
    machine = evaluate(tools, MEMBER, "services.data-mesher = { openFirewall = true; settings.cluster.port = 7000; };")
    expect("firewall", machine["firewall"], [7000])
    text = machine["units"]["data-mesher.socket"]
    expect("streams", _values(text, "ListenStream"), ["", "/run/data-mesher/mesherd.sock"])
    expect("datagrams", _values(text, "ListenDatagram"), ["7000"])
    # Whatever comes after the line that takes all back counts.
    expect("order", text.index("ListenStream=\n") < text.index("ListenDatagram="), True)
    expect("who wants the socket", machine["wanted"]["data-mesher.socket"], {"wantedBy": [], "requiredBy": []})
    for bind, address in (("192.168.1.1", "192.168.1.1:7946"), ("fd42::1", "[fd42::1]:7946")):
        machine = evaluate(tools, MEMBER, f'services.data-mesher.settings.cluster.bind = "{bind}";')
        expect("datagrams", _values(machine["units"]["data-mesher.socket"], "ListenDatagram"), [address])


def switching(tools: Tools) -> None:
    """What a rebuild does to the running units: a reload wherever that is enough."""
    def triggers(extra: str) -> dict[str, tuple]:
        units = evaluate(tools, MEMBER, extra)["units"]
        return {name: (_values(text, "X-Reload-Triggers"), _values(text, "X-Restart-Triggers")) for name, text in units.items()}

    service, follower = "data-mesher.service", "data-mesher-port.service"
    base = triggers("")
    text = evaluate(tools, MEMBER)["units"][service]
    expect("X-StopIfChanged", _values(text, "X-StopIfChanged"), ["false"])
    names = triggers('services.data-mesher.settings.host.names = [ "earth" ];')
    expect("a new name: restart", names[service][1], base[service][1])
    expect("a new name: the port's unit", names[follower], base[follower])
    page = (tools.repository / "docs/configuration.md").read_text()
    restart = {key for key, said in re.findall(r"^\| `([a-z_.]+)` \|.* \| ([^|]*) \|$", page, re.MULTILINE) if said == "restart"}
    # A new address is the socket's business, and the unit's that follows it.
    restart -= {"cluster.port", "cluster.bind"}
    found = set()
    for key, value in schema.known(tools).items():
        if key in schema.NOT_OPTIONS:
            continue
        # Other values than those that the machine has anyhow.
        value = {"network.id": OTHER_ID, "host.label": "beta"}.get(key, value)
        now = triggers(f"services.data-mesher.settings.{key} = (import {tools.lib}).mkForce (builtins.fromJSON {_nix(value)});")
        expect(f"another {key}: reload", now[service][0] != base[service][0], True)
        if now[service][1] != base[service][1]:
            found.add(key)
    expect("keys that restart the service", found, restart)
    moved = triggers("services.data-mesher.settings.cluster.port = 7000;")
    expect("a new port: its unit reloads", moved[follower][0] != base[follower][0], True)
    expect("a new port: no second restart", moved[service][1], base[service][1])
    # The files in init-network's directory are read at the start only.
    first = examples(tools)["first-machine"]
    expect("first machine: reload", _values(first["units"][service], "X-Reload-Triggers"), [])
    expect("first machine: its secret", _values(first["units"][service], "LoadCredential"),
           ["network.secret:/var/lib/data-mesher-network/network.secret"])
    expect("first machine: who needs its network", first["wanted"]["data-mesher-network.service"]["requiredBy"], [service])


def types(tools: Tools) -> None:
    """Wrong values are refused where they are written, by the option's name."""
    wrong = {
        "network.id": ['"AAAA"', "7"], "network.settings_file": ['"network.settings"'],
        "host.label": ['"a.b"', '"-a"'], "host.names": ['"earth"', '[ "-earth" ]', '[ "ear th" ]', '[ "*" ]', '[ "a..b" ]'],
        "host.interfaces": ['"eth0"', '[ "eth0/1" ]'], "host.addresses": ['[ "eth0" ]', '[ 1 ]'], "host.link_local": ['"yes"'],
        "cluster.port": ['"7946"', "0", "65536"], "cluster.bind": ['"eth0"'], "cluster.bootstrap_nodes": ['"a:1"', '[ "" ]', '[ "a b" ]', '[ "[fd00::1" ]', '[ "a:port" ]'],
        "cluster.gossip_interval": ["1", '"1 s"', '"1.5s"'], "cluster.join_timeout": ['"soon"'],
        "nss.short_names": ["1"], "nss.contain": ['"no"'], "log_level": ['"warning"'],
    }
    for key, values in wrong.items():
        for value in values:
            _refused(tools, f"services.data-mesher.settings.{key} = (import {tools.lib}).mkForce {value};",
                     f"services.data-mesher.settings.{key}", "not of type")
    twice = 'services.data-mesher.settings.host.names = [ "earth" "mars" "earth" ];'
    _one(evaluate(tools, MEMBER, twice)["failed"], "holds a name twice: earth mars earth")
    for option in ("openFirewal", "secretfile"):
        _refused(tools, f"services.data-mesher.{option} = true;", f"services.data-mesher.{option}", "does not exist")


def old_names(tools: Tools) -> None:
    machine = evaluate(tools, MEMBER, 'services.data-mesher = { bootstrapPeers = [ "a:1" ]; hostnames = [ "earth" ]; port = 7331; };')
    expect("bootstrapPeers", machine["settings"]["cluster"], {"bootstrap_nodes": ["a:1"], "port": 7331})
    expect("hostnames", machine["settings"]["host"].get("names"), ["earth"])
    expect("warnings", len(machine["warnings"]), 3)
    first = 'services.data-mesher = { enable = true; initNetwork = { enable = true; tld = "sol"; hostTTL = "28d"; }; };'
    machine = evaluate(tools, first)
    expect("renamed", "--domain sol" in machine["scripts"][0] and "--claim-ttl 28d" in machine["scripts"][0], True)
    expect("warnings", len(machine["warnings"]), 2)
    machine = evaluate(tools, 'services.data-mesher = { enable = true; tld = "sol"; initNetwork.enable = true; };')
    expect("renamed, with another's name", "--domain sol" in machine["scripts"][0], True)
    _one(machine["warnings"], "services.data-mesher.initNetwork.domain")
    for old in ('initNetwork.keyPath = "/x"', 'initNetwork.signingKeys = [ ]', 'ip = "::1"', 'log-level = "INFO"',
                'settings.state_dir = "/x"', 'settings.host.key_path = "/x"', 'settings.cluster.interface = "eth0"',
                'settings.cluster.join_interval = "1s"', 'settings.cluster.push_pull_interval = "1s"'):
        said = evaluate(tools, MEMBER, f"services.data-mesher.{old};")["failed"]
        _one(said, old.split(" ")[0])


def network(tools: Tools) -> None:
    """The demands on the network's id, and the first machine's script carried out with the real mesherctl."""
    _one(evaluate(tools, "services.data-mesher.enable = true;")["failed"], "settings.network.id is not set")
    _one(evaluate(tools, MEMBER, 'services.data-mesher.initNetwork = { enable = true; domain = "sol"; };')["failed"],
         "set one or the other")
    machine = evaluate(tools, str(tools.repository / "nixos-module/examples/first-machine.nix"))
    service = re.sub(r"/nix/store/\w+-", "", machine["units"]["data-mesher-network.service"].split("[Service]\n")[1])
    expect("the unit that makes a network", sorted(service.split()), sorted([
        "ExecStart=data-mesher-make-network", "RemainAfterExit=true", "RuntimeDirectory=data-mesher-network", "RuntimeDirectoryMode=0755",
        "RuntimeDirectoryPreserve=true", "Type=oneshot", "UMask=0077", "X-StopIfChanged=false",
    ]))
    place = tools.scratch / "first-machine"
    (place / "run").mkdir(parents=True, exist_ok=True)
    (place / "checked.toml").write_text(_toml(tools, machine["settings"]))
    script = machine["scripts"][0]
    for pattern, path in ((r"/nix/store/\w+-data-mesher/bin/", f"{tools.dist}/usr/bin/"), (r"/nix/store/\S+-checked.toml", f"{place}/checked.toml"),
                          ("/var/lib/data-mesher-network", f"{place}/network"), ("/run/data-mesher-network", f"{place}/run")):
        script = re.sub(pattern, path, script)
    said = [run(["bash", "-c", script]).stdout.splitlines()[-1] for _ in range(2)]
    expect("a second start makes nothing anew", said[0], said[1])
    check_configuration(tools, place / "run/config.toml")
    if f'id = "{said[0].split()[4].rstrip(";")}"' not in (place / "run/config.toml").read_text():
        raise Failed(f"the id is not in the configuration: {said[0]}")
    (place / "run/network.settings").stat()


def configuration(tools: Tools) -> None:
    """What the options become is what the real parser takes; what they let through that it does not, fails the build."""
    every = """services.data-mesher.settings = {
        log_level = "debug"; host = { names = [ "mercury" "*.earth" ]; interfaces = [ "eth1" ]; link_local = true;
        addresses = [ "192.168.1.1" "fd00::1" ]; }; network.settings_file = "/etc/x"; nss = { short_names = true; contain = true; };
        cluster = { port = 7000; bind = "::"; bootstrap_nodes = [ "[fe80::1%eth1]:7946" "gateway" ]; gossip_interval = "500ms";
        join_timeout = "10s"; }; };"""
    machines = {**examples(tools), "every option": evaluate(tools, MEMBER, every)}
    for name, machine in machines.items():
        file = tools.scratch / "config.toml"
        file.write_text(_toml(tools, machine["settings"]))
        _check_as_built(tools, name, machine["configuration"][1], file)
    # Freeform: an unknown key is passed on, and found by the daemon's parser.
    machine = evaluate(tools, MEMBER, "services.data-mesher.settings.cluster.gosip_interval = 1;")
    file.write_text(_toml(tools, machine["settings"]))
    try:
        _check_as_built(tools, "unknown key", machine["configuration"][1], file)
    except Failed as failure:
        expect("the nearest key is named", "did you mean gossip_interval?" in str(failure), True)
    else:
        raise Failed("an unknown key was taken")
    machine = evaluate(tools, MEMBER, cross=True)
    expect("what cannot run here is not run", "config check" in str(machine["configuration"]), False)


def _check_as_built(tools: Tools, name: str, script: str, file: Path) -> None:
    """The script that checks the configuration when the system is built, carried out."""
    out = tools.scratch / "checked.toml"
    out.unlink(missing_ok=True)
    script = re.sub(r"/nix/store/\w+-data-mesher/bin/", f"{tools.dist}/usr/bin/", script)
    script = re.sub(r"/nix/store/\w+-data-mesher.toml", str(file), script)
    expect(f"{name}: checked at build time", "config check" in script, True)
    run(["bash", "-euc", script], env={"PATH": "/usr/bin:/bin", "out": str(out)})
    expect(f"{name}: what was checked is what is used", out.read_text(), file.read_text())


def units(tools: Tools) -> None:
    """systemd's own opinion of the package's units with the drop-ins over them."""
    bind = 'services.data-mesher = { settings.cluster = { port = 7000; bind = "fd42::1"; }; certificateFile = "/run/c"; };'
    for name, machine in {**examples(tools), "another port": evaluate(tools, MEMBER, bind)}.items():
        folder = tools.scratch / "units" / name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        for unit in ("data-mesher.service", "data-mesher.socket"):
            text = (tools.repository / "units" / unit).read_text()
            (folder / unit).write_text(text.replace("/usr/bin/", f"{tools.dist}/usr/bin/"))
        for unit, text in machine["units"].items():
            text = re.sub(r"/nix/store/\w+-data-mesher/bin/", f"{tools.dist}/usr/bin/", text)
            text = re.sub(r"/nix/store/\w+-data-mesher-make-network", "/bin/true", text)
            text = re.sub(r"/nix/store/\w+-(coreutils|systemd)/bin/", "/usr/bin/", text)
            if (folder / unit).exists():
                (folder / f"{unit}.d").mkdir(exist_ok=True)
                (folder / f"{unit}.d/overrides.conf").write_text(text)
            else:
                (folder / unit).write_text(text)
            if unit not in ("data-mesher.service", "data-mesher.socket", "data-mesher-port.service", "data-mesher-network.service", "data-mesher-catalogue.service"):
                raise Failed(f"{name}: there is a unit {unit}")
        files = [str(folder / unit) for unit in sorted({*machine["units"], "data-mesher.service", "data-mesher.socket"})]
        result = run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *files],
                     env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{folder}:"})
        if result.stderr.strip():
            raise Failed(f"{name}: {result.stderr.strip()}")


def check_configuration(tools: Tools, file: Path) -> None:
    """The daemon's parser, on a file."""
    run([tools.program("mesherctl"), "config", "check", str(file)])


def _toml(tools: Tools, settings: dict) -> str:
    sys.path.insert(0, str(tools.repository / "tests/machines"))
    from driver import product
    return product.to_toml(settings)


def _nix(value: object) -> str:
    """A value as JSON in a Nix string."""
    return json.dumps(json.dumps(value)).replace("${", "\\${")


def _values(text: str, key: str) -> list[str]:
    return [line.split("=", 1)[1] for line in text.splitlines() if line.startswith(f"{key}=")]


def _one(said: list[str], part: str) -> None:
    if len(said) != 1 or part not in said[0]:
        raise Failed(f"expected one message with {part!r}, found {said}")


def _refused(tools: Tools, module: str, *parts: str) -> None:
    try:
        evaluate(tools, MEMBER, module)
    except Failed as failure:
        missing = [part for part in parts if part not in str(failure).replace("\n", " ").replace("`", "").replace("'", "")]
        if missing:
            raise Failed(f"{module} is refused without {missing}: {failure}") from failure
    else:
        raise Failed(f"{module} is taken")


CHECKS = [
    ("module: examples", "lib", sound),
    ("module: lookups", "lib", lookups),
    ("module: secrets", "lib", secrets),
    ("module: exports", "lib", exports),
    ("module: port", "lib", port),
    ("module: switching", "lib", switching),
    ("module: types", "lib", types),
    ("module: old names", "lib", old_names),
    ("module: network", "lib", network),
    ("module: configuration", "lib", configuration),
    ("module: units", "lib", units),
]
