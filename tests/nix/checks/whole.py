"""Whole machines: the module among NixOS' own modules, and the VM tests' machines as NixOS' own test framework makes them."""

import ast
import json
import re
from functools import cache
from pathlib import Path

from . import module
from .machines import known, scenarios
from .tools import Failed, Tools, expect

_RESOLVED = "services.resolved.enable = true;"
_ELSEWHERE = """services.data-mesher = { openFirewall = true; secretFile = "/run/secrets/s"; certificateFile = "/run/secrets/c";
    settings.cluster = { port = 7000; bind = "fd42::1"; }; settings.exports.zone = "/var/lib/dns/sol.zone"; };"""


@cache
def _names(nixos: Path) -> dict:
    """What NixOS' modules take from the package set, found in their text; some put names together."""
    names: dict[str, set[str]] = {name: set() for name in ("fish", "zsh", "xonsh", "nushell", "strace", "rsync", "perl")}
    flags: set[str] = set()
    for file in nixos.rglob("*.nix"):
        text = file.read_text()
        for name, member in re.findall(r"\bpkgs\.([A-Za-z_][\w-]*)(?:\.([A-Za-z_][\w-]*))?", text):
            names.setdefault(name, set()).update({member} - {""})
        for name in re.findall(r'mkPackageOption pkgs (?:\[ )?"([\w-]+)"|buildPackages\.([\w-]+)', text):
            names.setdefault("".join(name), set())
        for inherited in re.findall(r"inherit \(pkgs\)([\s\w-]+);", text):
            names.update({name: names.get(name, set()) for name in inherited.split()})
        flags.update(re.findall(r"package\.(with[A-Z]\w*)", text))
    return {"names": {name: sorted(members) for name, members in names.items()}, "flags": sorted(flags)}


def _evaluate(tools: Tools, what: str) -> object:
    names = tools.scratch / "names.json"
    names.write_text(json.dumps(_names(tools.nixos)))
    return tools.evaluate(
        f"(import {tools.repository}/tests/nix/whole.nix {{ libPath = {tools.lib}; nixos = {tools.nixos}; names = {names}; }}).{what}"
    )


def _system(tools: Tools, *modules: str) -> dict:
    return _evaluate(tools, f"system [ {module.written(tools, *modules)} ]")


def machines(tools: Tools) -> None:
    """NixOS takes the module as it is: no assertion of anybody's fails, nothing is warned of, and what the module wants is there."""
    folder = tools.repository / "nixos-module/examples"
    wanted = {
        "first machine": (str(folder / "first-machine.nix"),), "member": (str(folder / "member.nix"),),
        "clan": (str(folder / "clan.nix"), 'networking.hostName = "beta";'),
        "resolved": (module.MEMBER, _RESOLVED), "elsewhere": (module.MEMBER, _ELSEWHERE),
        "networkd": (module.MEMBER,), "a container with names of its own": (module.MEMBER,),
    }
    # What only one of the two knows of: NixOS, and the stubs.
    beside = {
        # networkd brings resolved along.
        "networkd": ("networking.useNetworkd = true; networking.nftables.enable = true;", _RESOLVED),
        "a container with names of its own": ("boot.isContainer = true;", ""),
    }
    for name, modules in wanted.items():
        there, here = beside.get(name, ("", ""))
        found, ours = _system(tools, *modules, there), module.evaluate(tools, *modules, here)
        expect(f"{name}: failed assertions", found["failed"], [])
        expect(f"{name}: warnings", found["warnings"], [])
        expect(f"{name}: a system", bool(re.fullmatch(r"/nix/store/\w{32}-nixos-system-.*", found["system"])), True)
        hosts = _hosts(found)
        expect(f"{name}: hosts", hosts, " ".join(ours["hosts"]))
        if f"    {hosts}  " not in (tools.repository / "docs/nixos.md").read_text():
            raise Failed(f"docs/nixos.md does not show {hosts!r}")
        expect(f"{name}: nscd's library path", found["nscd"].split(":")[0], ours["nss_path"])
        expect(f"{name}: configuration", _plain(found["configuration"]), _plain(ours["etc"]["data-mesher/config.toml"]))
        expect(f"{name}: firewall", set(ours["firewall"]) <= set(found["firewall"]), True)
        expect(f"{name}: user", found["user"], {"group": "data-mesher", "isSystemUser": True})
        expect(f"{name}: units", sorted(found["units"]), sorted(ours["units"]))
        for unit, text in found["units"].items():
            expect(f"{name}: {unit}", _directives(text), _directives(ours["units"][unit]))
        expect(f"{name}: who wants them", found["wanted"], ours["wanted"])


def _directives(text: str) -> list[tuple[str, list[str]]]:
    """The lines of each section that the module is responsible for. Triggers are files in NixOS, with our texts in them."""
    sections = re.findall(r"^\[(\w+)\]\n((?:(?!\[).*\n?)*)", text, re.MULTILINE)
    kept = []
    for section, lines in sections:
        lines = [re.sub(r"^(X-\w+-Triggers)=.*", r"\1", _plain(line)) for line in lines.splitlines() if line]
        lines = [line for line in lines if not re.match(r"Environment=\"(PATH|TZDIR|LOCALE_ARCHIVE)=", line)]
        # Order is of matter among the values of one key.
        kept.append((section, sorted(lines, key=lambda line: line.split("=")[0])))
    return [(section, lines) for section, lines in kept if section != "Install" and lines]


def _hosts(found: dict) -> str:
    return re.search(r"^hosts: +(.*)$", found["nsswitch"], re.MULTILINE)[1]


def _shown(tools: Tools, begin: str) -> str:
    """The piece of Nix in docs/nixos.md that begins so."""
    page = (tools.repository / "docs/nixos.md").read_text()
    written = re.search(rf"^```nix\n({re.escape(begin)}.*?)^```$", page, re.MULTILINE | re.DOTALL)
    if written is None:
        raise Failed(f"docs/nixos.md shows nothing that begins with {begin!r}")
    return written[1]


def readers(tools: Tools) -> None:
    """What docs/nixos.md writes for who reads an export: a drop-in for the package's path unit, which names no file of its own."""
    found = _system(tools, module.MEMBER, _shown(tools, "services.data-mesher.settings.exports."))
    expect("failed assertions", found["failed"], [])
    unit = "data-mesher-reload@unbound.path"
    expect("a drop-in", found["strategy"][unit], "asDropin")
    expect("what is in it", _directives(found["units"][unit]), [])
    expect("who wants it", found["wanted"][unit]["wantedBy"], ["multi-user.target"])


def containers(tools: Tools) -> None:
    """What docs/nixos.md writes for a container that reads its host's table."""
    file = tools.scratch / "container.nix"
    file.write_text(f"{{ data-mesher }}: {{ {_shown(tools, 'containers.')} }}")
    found = _evaluate(tools, f"container {file}")
    expect("the mount", found["mounts"], {"/run/data-mesher": {"hostPath": None, "isReadOnly": True, "mountPoint": "/run/data-mesher"}})
    expect("failed assertions", found["failed"], [])
    expect("warnings", found["warnings"], [])
    expect("hosts in the container", _hosts(found), "mymachines files myhostname mesher dns")
    expect("nscd's library path in the container", _plain(found["nscd"].split(":")[0]), "data-mesher-lib/lib")


def _plain(text: str) -> str:
    """Without the hashes of store paths, which are others among other packages."""
    return re.sub(r"/nix/store/\w{32}-", "", text)


def tests(tools: Tools) -> None:
    """The machines of every VM test, as NixOS' test framework makes them: the addresses of nodes.toml, and in /etc/hosts nobody
    but the machine itself."""
    scenarios = _evaluate(tools, "tests")
    stubs = tools.evaluate(f"(import {tools.repository}/tests/nix/vm-nodes.nix {{ libPath = {tools.lib}; }}).nodes")
    expect("tests", {name: sorted(nodes) for name, nodes in scenarios.items()}, {name: sorted(nodes) for name, nodes in stubs.items()})
    for scenario, nodes in scenarios.items():
        for name, node in nodes.items():
            where = f"{scenario}, {name}"
            expect(f"{where}: failed assertions", node["failed"], [])
            expect(f"{where}: warnings", node["warnings"], [])
            expect(f"{where}: machines that the framework writes into /etc/hosts", node["extraHosts"].strip(), "")
            others = {host for hosts in node["hosts"].values() for host in hosts} - {name}
            expect(f"{where}: other names in /etc/hosts", others, set())
            expect(f"{where}: addresses", sorted(node["addresses"]), sorted(stubs[scenario][name]["addresses"]))


def driver(tools: Tools) -> None:
    """The VM tests' scripts use what NixOS' test driver has, in its own source."""
    files = [ast.parse(file.read_text()) for file in (tools.nixos / "lib/test-driver").rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(file)]
    bodies = [node.body for node in nodes if isinstance(node, ast.ClassDef) and node.name.endswith("Machine")]
    methods = {node.name for body in bodies for node in body if isinstance(node, ast.FunctionDef)} | {"name"}
    symbols = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == "test_symbols"]
    names = {keyword.arg for function in symbols for node in ast.walk(function) if isinstance(node, ast.Call) for keyword in node.keywords}
    if len(methods) < 30 or "start_all" not in names:
        raise Failed(f"the test driver was not found: {sorted(methods)}, {sorted(names)}")
    # unittest's assertions came with 25.05.
    names.add("t")
    for name, test in scenarios(tools, f"import {tools.lib}")["scripts"].items():
        known(name, ast.parse(test["testScript"]), {machine.replace("-", "_") for machine in test["machines"]}, names, methods)


CHECKS = [
    ("whole: machines", "nixos", machines),
    ("whole: readers", "nixos", readers),
    ("whole: containers", "nixos", containers),
    ("whole: tests", "nixos", tests),
    ("whole: driver", "nixos", driver),
]
