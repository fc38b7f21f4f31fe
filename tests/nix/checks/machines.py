"""The VM tests and the project's own driver read the same scenarios: they must make the same of them."""

import ast
import re
import subprocess
import sys

from .module import ID, MEMBER, check_configuration, evaluate
from .tools import Failed, Tools, expect, run


def same(tools: Tools) -> None:
    """Every scenario is a VM test or is left out for a reason, and the machines are what the driver makes of them."""
    sys.path.insert(0, str(tools.repository / "tests/machines"))
    from driver import nodes, product
    made = tools.evaluate(f'import {tools.repository}/tests/nix/vm-nodes.nix {{ libPath = {tools.lib}; id = "{ID}"; }}')
    folders = sorted(file.parent for file in (tools.repository / "tests/machines").glob("*/nodes.toml"))
    expect("scenarios", sorted([*made["nodes"], *made["reasons"]]), [f"vm-{folder.name}" for folder in folders])
    if not {"vm-three_planets", "vm-socket_activation"} <= set(made["nodes"]):
        raise Failed(f"the main scenarios are left out: {made['reasons']}")
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
    files = {"data-mesher/config.toml": "0644", "data-mesher/network.secret": "0600"}
    expect(f"{where}: files", found["etc"], files | ({"data-mesher/network.settings": "0644"} if brings else {}))
    file = tools.scratch / "vm.toml"
    file.write_text(product.to_toml(found["settings"]))
    check_configuration(tools, file)


def networks(tools: Tools) -> None:
    """The script that makes a scenario's network, carried out: the id it leaves is the network's."""
    made = tools.evaluate(f'import {tools.repository}/tests/nix/vm-nodes.nix {{ libPath = {tools.lib}; id = "{ID}"; }}')
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
        files[unit if unit == "data-mesher-port.service" else f"{unit}.d/overrides.conf"] = text
    return files


CHECKS = [("machines: drop-ins", True, drop_ins), ("machines: same", True, same), ("machines: networks", True, networks)]
