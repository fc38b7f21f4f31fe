"""The VM tests and the project's own driver read the same scenarios: they must make the same of them."""

import ast
import builtins
import re
import subprocess
import sys

from .module import ID, MEMBER, check_configuration, evaluate
from .tools import Failed, Tools, expect, run


# What a script finds by name in the NixOS test driver (nixos/lib/test-driver), of what ours has too, and what it can do there
# with a machine.
NAMES = {"start_all", "join_all", "subtest", "retry", "log", "t", "os"}
METHODS = {
    "block", "copy_from_host", "crash", "execute", "fail", "get_unit_info", "get_unit_property", "log", "name", "reboot",
    "require_unit_state", "shutdown", "sleep", "start", "start_job", "stop_job", "succeed", "systemctl", "unblock",
    "wait_for_closed_port", "wait_for_file", "wait_for_open_port", "wait_for_shutdown", "wait_for_unit", "wait_until_fails",
    "wait_until_succeeds",
}


def scripts(tools: Tools) -> None:
    """Every scenario is a VM test, or is left out for a reason. The script of one that is compiles, and uses nothing that the
    NixOS test driver and what is put before the script have not."""
    made = scenarios(tools, f"import {tools.repository}/tests/nix/stubs/little-lib.nix")
    if tools.lib:
        expect("the VM tests by the little lib", made, scenarios(tools, f"import {tools.lib}"))
    folders = sorted(file.parent.name for file in (tools.repository / "tests/machines").glob("*/nodes.toml"))
    expect("scenarios", sorted([*made["scripts"], *made["reasons"]]), [f"vm-{folder}" for folder in folders])
    if not {"vm-three_planets", "vm-socket_activation", "vm-units"} <= set(made["scripts"]):
        raise Failed(f"the main scenarios are left out: {made['reasons']}")
    for name, test in made["scripts"].items():
        try:
            tree = ast.parse(test["testScript"], name)
        except SyntaxError as error:
            raise Failed(f"{name}: {error}") from error
        known(name, tree, {machine.replace("-", "_") for machine in test["machines"]})
    print(f"        VM tests: {', '.join(sorted(made['scripts']))}", flush=True)
    for name, reason in sorted(made["reasons"].items()):
        print(f"        {name}, not: {reason}", flush=True)


def scenarios(tools: Tools, lib: str) -> dict:
    """The VM tests' scripts with the names of their machines, and the reasons why other scenarios are none."""
    wanted = " ".join(
        f"{want} = import {tools.repository}/tests/nix/vm-tests.nix {{ lib = {lib}; want = \"{want}\"; "
        "pkgs = { }; data-mesher = { }; nixosModule = { }; };" for want in ("scripts", "reasons")
    )
    return tools.evaluate(f"{{ {wanted} }}")


def known(where: str, tree: ast.Module, machines: set[str], names: set[str] = NAMES, methods: set[str] = METHODS) -> None:
    """Fails where a script uses what a VM test has not."""
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {node.name for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.name}
    bound |= {(alias.asname or alias.name).split(".")[0] for node in ast.walk(tree)
              if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    expect(f"{where}: names that a VM test does not have", used - bound - set(dir(builtins)) - names - machines, set())
    # Machines are called by their own names, or one after the other.
    called = machines | {"machine", "here", "there"}
    used = {node.attr for node in ast.walk(tree)
               if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in called}
    expect(f"{where}: what a machine of a VM test cannot do", used - methods, set())


def same(tools: Tools) -> None:
    """The machines of the VM tests are what the driver makes of the scenarios."""
    sys.path.insert(0, str(tools.repository / "tests/machines"))
    from driver import nodes, product
    made = tools.evaluate(f'import {tools.repository}/tests/nix/vm-nodes.nix {{ libPath = {tools.lib}; }}')
    folders = sorted(file.parent for file in (tools.repository / "tests/machines").glob("*/nodes.toml"))
    for folder in folders:
        if f"vm-{folder.name}" not in made["nodes"]:
            continue
        scenario = nodes.read(folder / "nodes.toml")
        expect("machines", sorted(made["nodes"][f"vm-{folder.name}"]), sorted(node.name for node in scenario.machines))
        for node in scenario.machines:
            _same_machine(tools, folder.name, scenario, node, made["nodes"][f"vm-{folder.name}"][node.name], nodes, product)


def _same_machine(tools: Tools, where: str, scenario: object, node: object, found: dict, nodes: object, product: object) -> None:
    where = f"{where}, {node.name}"
    expect(f"{where}: failed assertions", found["failed"], [])
    expect(f"{where}: addresses", sorted(found["addresses"]), sorted(node.addresses))
    expect(f"{where}: written into /etc/hosts", found["assignIP"], False)
    if scenario.network is None:
        expect(f"{where}: settings", found["settings"], None)
        return
    brings = node.name in scenario.network.settings_on
    settings = nodes.merge({"network": {"id": ID}}, node.settings)
    if brings:
        settings = nodes.merge({"network": {"settings_file": "/etc/data-mesher/network.settings"}}, settings)
    # What the module adds of itself: defaults written out, and where the secret of the credential is.
    secret = {"secret_file": "/etc/data-mesher/network.secret"}
    settings = nodes.merge({"host": {"label": node.name}, "cluster": {"port": 7946}, "network": secret}, settings)
    expect(f"{where}: settings", {key: value for key, value in found["settings"].items() if value != {}}, settings)
    expect(f"{where}: started at boot", found["wanted"], ["multi-user.target"] if node.enabled else [])
    files = {"systemd/system.conf.d/scripts.conf": "symlink", "data-mesher/config.toml": "0644", "data-mesher/network.secret": "0600"}
    expect(f"{where}: files", found["etc"], files | ({"data-mesher/network.settings": "0644"} if brings else {}))
    file = tools.scratch / "vm.toml"
    file.write_text(product.to_toml(found["settings"]))
    check_configuration(tools, file)


def networks(tools: Tools) -> None:
    """The script that makes a scenario's network, carried out: the id it leaves is the network's."""
    made = tools.evaluate(f'import {tools.repository}/tests/nix/vm-nodes.nix {{ libPath = {tools.lib}; }}')
    for name, script in made["networks"].items():
        out = tools.scratch / "networks" / tools.repository.name / name
        out.parent.mkdir(parents=True, exist_ok=True)
        script = re.sub(r"/nix/store/\w+-data-mesher/bin/", f"{tools.dist}/usr/bin/", script)
        run(["bash", "-euc", script], env={"PATH": "/usr/bin:/bin", "out": str(out)}, cwd=out.parent)
        shown = subprocess.run([tools.program("mesherctl"), "network", "show", "--dir", str(out)], capture_output=True, text=True, check=True)
        expect(f"{name}: id", (out / "id").read_text().strip(), shown.stdout.split()[1])


def drop_ins(tools: Tools) -> None:
    """The unit files in the scenario nixos_units are those that the module renders."""
    script = (tools.repository / "tests/machines/nixos_units/script.py").read_text()
    written = {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(script).body
        if isinstance(statement, ast.Assign) and statement.targets[0].id in ("BEFORE", "AFTER")
    }
    secret = 'services.data-mesher.secretFile = "/run/secrets/mesh";'
    before = _files(evaluate(tools, MEMBER, secret)["units"])
    after = _files(evaluate(tools, MEMBER, secret, "services.data-mesher.settings.cluster.port = 7000;")["units"])
    expect("before", written["BEFORE"], before)
    expect("after", written["AFTER"], {path: text for path, text in after.items() if before.get(path) != text})


def _files(units: dict[str, str]) -> dict[str, str]:
    """Units as files below /etc/systemd/system, with Debian's paths and without what is different in every build."""
    files = {}
    for unit, text in units.items():
        text = re.sub(r"/nix/store/\w+-(coreutils|systemd)/", "/usr/", text)
        text = re.sub(r"/nix/store/\S+-checked.toml", "CONFIGURATION", text).replace(ID, "ID")
        text = re.sub(r"/nix/store/\w+-journal-catalogues", "/run/journal-catalogues", text)
        brought = unit in ("data-mesher.service", "data-mesher.socket")
        files[f"{unit}.d/overrides.conf" if brought else unit] = text
    return files


CHECKS = [
    ("machines: scripts", "", scripts),
    ("machines: drop-ins", "lib", drop_ins),
    ("machines: same", "lib", same),
    ("machines: networks", "lib", networks),
]
