"""Planted mistakes: each is made in a copy of the sources, and the check that is there for it must find it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .tools import Failed, Tools


@dataclass
class Mistake:
    """A text that is replaced, once, the check that finds it, and what that says."""

    what: str
    file: str
    right: str
    wrong: str
    found_by: str
    says: str


M = "nixos-module"
MISTAKES = [
    Mistake("a missing semicolon", f"{M}/units.nix", "stopIfChanged = false;", "stopIfChanged = false", "syntax",
            "syntax error"),
    Mistake("a line that is indented wrongly", f"{M}/nss.nix", "  cfg = config", "    cfg = config", "formatting",
            "nss.nix: not formatted"),
    Mistake("a name that nobody uses", f"{M}/nss.nix", "  cfg = config", "  unused = 1;\n  cfg = config", "dead code",
            "Unused let binding"),
    Mistake("an import of a file that is not there", f"{M}/default.nix", "./units.nix", "./unit.nix", "files",
            "names ./unit.nix"),
    Mistake("a misspelt output", "flake.nix", "nixosModules.default =", "nixosModule.default =", "flake",
            "'nixosModule'"),
    Mistake("a tool that nixpkgs does not have", "flake.nix", "pkgs.nixfmt-tree", "pkgs.nixfmt-trees", "flake",
            "attribute 'nixfmt-trees' missing"),
    Mistake("an input that is computed", "flake.nix", '"github:NixOS/', '"github:" + "NixOS/', "flake: by Nix", "expected a string"),
    Mistake("evaluation that builds", f"{M}/package.nix", "inherit (manifest.workspace.package) version;",
            'version = builtins.readFile (derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; });', "flake: by Nix",
            "import-from-derivation"),
    Mistake("a script that does not compile", "tests/machines/units/script.py", "start_all()", "start_all(", "scripts",
            "was never closed"),
    Mistake("a misspelt option of NixOS", f"{M}/units.nix", "systemd.packages =", "systemd.package-units =", "module: examples",
            "The option `systemd.package-units' does not exist"),
    Mistake("a string where a list belongs", f"{M}/units.nix", '[ "multi-user.target" ];\n      # Of', '"multi-user.target";\n      # Of',
            "module: examples",
            "is not of type `list of"),
    Mistake("a bad unit name", f"{M}/init-network.nix", '"data-mesher.service" ];\n      # When', '"data-mesher" ];\n      # When',
            "module: examples",
            "is not of type `string matching the pattern"),
    Mistake("an attribute that does not exist", f"{M}/units.nix", "cfg.openFirewall", "cfg.firewall", "module: examples",
            "attribute 'firewall' missing"),
    Mistake("a function that lib does not have", f"{M}/nss.nix", "lib.getLib", "lib.getLibrary", "module: lookups",
            "attribute 'getLibrary' missing"),
    Mistake("the mesh after resolved", f"{M}/nss.nix", "then 450 else 1000;\n    defaultText", "then 600 else 1000;\n    defaultText",
            "module: lookups",
            "hosts with resolved"),
    Mistake("the whole package on nscd's library path", f"{M}/nss.nix", "lib.getLib cfg.package", 'cfg.package // { lib = cfg.package; }',
            "module: lookups",
            "nscd's library path"),
    Mistake("secrets that may lie in the store", f"{M}/default.nix", "inStore = false;", "inStore = null;", "module: secrets",
            "-secret\"; is taken"),
    Mistake("a reload that looks for the secret elsewhere", f"{M}/units.nix", "lib.mkForce cfg.secretFile", 'lib.mkForce "/etc/secret"',
            "module: secrets", "where a reload finds the secret"),
    Mistake("an export that the sandbox forbids", f"{M}/units.nix", "&& !lib.hasPrefix", "&& lib.hasPrefix", "module: exports",
            "exports in the runtime directory"),
    Mistake("a drop-in that keeps the old port", f"{M}/units.nix", '        ""\n', "", "module: port",
            "streams: expected"),
    Mistake("a socket that sockets.target pins", f"{M}/units.nix", "      listenDatagrams =",
            '      wantedBy = [ "sockets.target" ];\n      listenDatagrams =', "module: port",
            "who wants the socket"),
    Mistake("a switch that stops the service", f"{M}/units.nix", "stopIfChanged = false", "stopIfChanged = true", "module: switching",
            "X-StopIfChanged"),
    Mistake("a restart for every change", f"{M}/units.nix", "restartTriggers = [ needsRestart ]", "restartTriggers = [ cfg.configFile ]",
            "module: switching",
            "a new name: restart"),
    Mistake("a type that is too wide", f"{M}/settings.nix", "types.addCheck types.port (port: port != 0)", "types.int", "module: types",
            "mkForce 0; is taken"),
    Mistake("a pattern that lets spaces in", f"{M}/settings.nix", "[0-9]+(ms|", "[0-9]+ ?(ms|", "module: types",
            "1 s\"; is taken"),
    Mistake("an old name that leads nowhere", f"{M}/renamed.nix", '    "host"\n      "names"', '    "host"\n      "name"', "module: old names",
            "hostnames: expected ['earth']"),
    Mistake("an old name that another option has now", f"{M}/renamed.nix", '(old "tld")', '(old "tdl")', "module: old names", "data-mesher.tld' does not exist"),
    Mistake("a misspelt argument in a script", f"{M}/init-network.nix", "network show --dir", "network show --directory", "module: network",
            "unexpected argument '--directory'"),
    Mistake("a unit that does what it did at every start", f"{M}/init-network.nix", "RemainAfterExit = true", "RemainAfterExit = false",
            "module: network", "the unit that makes a network"),
    Mistake("a configuration that nobody checks", f"{M}/units.nix", "config check", "config print", "module: configuration",
            "checked at build time"),
    Mistake("a misspelt program in a script", f"{M}/units.nix", '"mesherctl"} config check', '"mesherclt"} config check', "module: configuration",
            "mesherclt: No such file"),
    Mistake("an unknown directive", f"{M}/units.nix", "RemainAfterExit", "RemainAfterExist", "module: units",
            "Unknown key"),
    Mistake("an assertion without words", f"{M}/default.nix", 'message = "services.data-mesher.settings.host.names', 'massage = "services.data-mesher.settings.host.names',
            "module: types", "'message' missing"),
    Mistake("a tool that the build does not get", f"{M}/package.nix", "nativeBuildInputs", "nativeBuildInput", "package: manifest",
            "'nativeBuildInputs' missing"),
    Mistake("a version of its own", f"{M}/package.nix", "inherit (manifest.workspace.package) version;", 'version = "0.0.9";',
            "package: manifest",
            "version: expected"),
    Mistake("a module that may unwind", f"{M}/package.nix", "--profile nss", "--profile release", "package: manifest",
            "the module's profile"),
    Mistake("a source without an included file", f"{M}/package.nix", "        ../docs\n", "", "package: source",
            "couldn't read"),
    Mistake("a source without the rules of its format", f"{M}/package.nix", "        ../rustfmt.toml\n", "", "package: source", "Diff in"),
    Mistake("a unit that is not there", f"{M}/package.nix", "units/data-mesher.socket", "units/data-mesher.sockets", "package: installation",
            "units/data-mesher.sockets"),
    Mistake("a program of the build among the package's", f"{M}/package.nix", '\n  + "rm $out/bin/mesher_manual\\n";', ";", "package: installation",
            "programs: expected"),
    Mistake("something else beside the module", f"{M}/package.nix", "-t $out/lib/systemd/catalog", "-t $lib/lib/systemd/catalog",
            "package: installation",
            "the output lib"),
    Mistake("a follower that starts what was stopped", f"{M}/units.nix", "try-restart data-mesher.socket", "restart data-mesher.socket",
            "machines: drop-ins", "before: expected"),
    Mistake("a word of the project's own driver that a VM test has not", "tests/nix/vm-prelude.py", "def heal(", "def mend(",
            "machines: scripts", "{'heal'}"),
    Mistake("a machine asked for what a VM cannot do", "tests/nix/vm-tests.nix", '    ".freeze("\n    ".thaw("\n', "", "machines: scripts",
            "what a machine of a VM test cannot do"),
    Mistake("another prefix length than the driver's", "tests/nix/vm-tests.nix", "then 64 else 24", "then 48 else 24", "machines: same",
            "addresses: expected"),
    Mistake("nodes in /etc/hosts", "tests/nix/vm-tests.nix", "assignIP = false", "assignIP = true", "machines: same",
            "written into /etc/hosts"),
    Mistake("nodes in /etc/hosts, by NixOS' own framework", "tests/nix/vm-tests.nix", "assignIP = false", "assignIP = true", "whole: tests",
            "the framework writes into /etc/hosts"),
    Mistake("a method that the test driver's machines do not have", "tests/machines/units/script.py", "alpha.get_unit_property(",
            "alpha.get_unit_properties(", "whole: driver", "cannot do"),
    Mistake("a stub that is not like NixOS", "tests/nix/stubs/nixos.nix", 'lib.mkOrder 998 [ "files" ]', 'lib.mkOrder 1001 [ "files" ]',
            "whole: machines", "hosts: expected"),
    Mistake("an option that only NixOS has, misspelt", f"{M}/units.nix", "networking.firewall.allowedUDPPorts", "networking.firewall.allowUDPPorts",
            "whole: machines", "allowUDPPorts' does not exist"),
    Mistake("a unit of its own where a drop-in belongs", "docs/nixos.md", '  overrideStrategy = "asDropin";\n', "", "whole: readers", "a drop-in"),
    Mistake("a container that may change the table", "docs/nixos.md", 'bindMounts."/run/data-mesher" = { };',
            'bindMounts."/run/data-mesher".isReadOnly = false;', "whole: containers", "the mount"),
    Mistake("an option of mesherctl misread", "tests/nix/vm-tests.nix", '"--" + ', '"-" + ', "machines: networks",
            "unexpected argument"),
    Mistake("a library in the package's other output, seen by Nix", f"{M}/package.nix", "-t $out/lib/systemd/catalog",
            "-t $lib/lib/systemd/catalog", "build: flake", "the output lib"),
    Mistake("a mistake that the page does not show", "docs/nixos.md", "| a missing semicolon |", "| a semicolon |", "reference: mistakes",
            "does not show the planted mistakes"),
    Mistake("a word that the test driver's machines do not know", "docs/nixos.md", "vm.wait_until_succeeds(", "vm.wait_until_succeed(",
            "reference: pieces", "cannot do"),
    Mistake("an option that the reference does not have", f"{M}/init-network.nix", "    claimTTL = mkOption", "    claimTimeToLive = mkOption",
            "reference: descriptions", "initNetwork.claimTimeToLive"),
    Mistake("an option described anew in one place", f"{M}/nss.nix", "wins over the same name", "beats the same name", "reference: options",
            "is not that of these options"),
    Mistake("a key that the daemon does not have", f"{M}/settings.nix", "    short_names = optional", "    short_name = optional",
            "schema: keys", "settings that the daemon does not have: expected set(), found {'nss.short_name'}"),
    Mistake("a key that was forgotten", f"{M}/settings.nix", "certificate_file = optional", "certificate = optional", "schema: keys", "certificate"),
    Mistake("a type that refuses what the daemon takes", f"{M}/settings.nix", "[0-9]+(ms|s|m|h|d)", "[0-9]+(s|m|h|d)", "schema: values",
            "and the option refuses it"),
    Mistake("a type of another kind", f"{M}/settings.nix", "link_local = optional types.bool", "link_local = optional types.anything",
            "schema: values", "which is of another kind"),
    Mistake("a restart for a key that a reload takes", f"{M}/units.nix", "    host.label\n", "    host.label\n    host.names\n",
            "module: switching", "a new name: restart"),
    Mistake("a key that needs a restart, and gets none", f"{M}/units.nix", "    host.label\n", "", "module: switching",
            "keys that restart the service"),
    Mistake("an example that the page shows differently", f"{M}/examples/member.nix", '"jupiter"', '"saturn"', "reference: examples",
            "member.nix as it is"),
]

# What the checks read of a tree; the rest of a copy are links.
_COPIED = ["flake.nix", M, "tests/nix", "tests/machines", "docs"]


def checks(known: dict[str, tuple[str, Callable]]) -> list[tuple[str, str, Callable]]:
    """A check for every mistake, and one that every check has a mistake."""
    made: list[tuple[str, str, Callable]] = [("planted: a mistake for every check", "", lambda _tools: _complete(known))]
    for mistake in MISTAKES:
        if mistake.found_by not in known:
            # One of the checks that have to be asked for.
            continue
        needs, check = known[mistake.found_by]
        made.append((f"planted: {mistake.what}, found by {mistake.found_by!r}", needs, _planted(mistake, check)))
    return made


def table() -> str:
    """What is planted and which check finds it, for docs/nixos.md."""
    rows = [f"| {mistake.what} | `{mistake.file}` | {mistake.found_by} |" for mistake in MISTAKES]
    return "\n".join(["| planted | in | found by |", "|---|---|---|", *rows])


def _complete(known: dict[str, tuple[str, Callable]]) -> None:
    if missing := set(known) - {mistake.found_by for mistake in MISTAKES}:
        raise Failed(f"never seen to fail: {', '.join(sorted(missing))}")


def _planted(mistake: Mistake, check: Callable) -> Callable:
    def run(tools: Tools) -> None:
        copy = _copy(tools, mistake)
        try:
            check(tools.of(copy))
        except Failed as failure:
            if mistake.says not in str(failure):
                raise Failed(f"something else was found: {failure}") from failure
            return
        finally:
            shutil.rmtree(copy)
        raise Failed("the mistake was not found")

    return run


def _copy(tools: Tools, mistake: Mistake) -> Path:
    """The tree with the mistake in it."""
    root = tools.scratch / "planted"
    root.mkdir()
    for entry in tools.repository.iterdir():
        if entry.name not in ("flake.nix", M, "docs", "tests", ".git", "target"):
            (root / entry.name).symlink_to(entry)
    (root / "tests").mkdir()
    for entry in (tools.repository / "tests").iterdir():
        if entry.name not in ("nix", "machines"):
            (root / "tests" / entry.name).symlink_to(entry)
    for name in _COPIED:
        source = tools.repository / name
        shutil.copytree(source, root / name) if source.is_dir() else shutil.copy(source, root / name)
    file = root / mistake.file
    text = file.read_text()
    if mistake.right not in text:
        raise AssertionError(f"{mistake.what}: {mistake.file} does not say {mistake.right!r}")
    file.write_text(text.replace(mistake.right, mistake.wrong, 1))
    return root
