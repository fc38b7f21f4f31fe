"""The driver's command line; `cargo xtask machines` calls it."""

import argparse
import sys
from pathlib import Path

from . import base, lanes, nodes, product, report, sandbox, scenario


def main() -> int:
    arguments = _arguments()
    scenarios = list(zip(arguments.files[::2], arguments.files[1::2], strict=True))
    try:
        # Bases are fetched out here, where there is a network.
        archives = _archives(arguments, scenarios)
        alone = [nodes.read(nodes_file).alone for _, nodes_file in scenarios]
    except (base.NoBase, nodes.BadNodes) as error:
        print(f"machines: {error}", file=sys.stderr)
        return 1
    if not sandbox.is_inside():
        if arguments.queue is None and arguments.lanes > 1 and len(scenarios) > 1 and not arguments.keep:
            return _summary(lanes.run(sys.argv[1:], scenarios, alone, arguments.lanes), arguments)
        sandbox.enter(sys.argv[1:])
    sandbox.prepare()
    outcomes = []
    try:
        for index in lanes.turns(arguments.queue, len(scenarios)):
            archive = archives[index]
            outcome = scenario.run(*scenarios[index], _setup(arguments, archive), base.suite_of(archive))
            outcomes.append(outcome)
            if arguments.queue is not None:
                lanes.tell(index, outcome)
    except KeyboardInterrupt:
        report.line("interrupted")
        return 130
    finally:
        sandbox.leave()
    return 0 if arguments.queue is not None else _summary(outcomes, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="machines", description=__doc__)
    parser.add_argument("--suite", default="bookworm", help="the Debian release the machines run")
    parser.add_argument("--cache", type=Path, required=True, help="where bases and logs are kept")
    parser.add_argument("--dist", type=Path, help="the release files, laid out as installed")
    parser.add_argument("--installer", type=Path, help="xtask's binary, which installs them")
    parser.add_argument("--packages", type=Path, help="Debian packages: this version's, and in previous/ an older one's")
    parser.add_argument("--report", type=Path, help="a file to write the outcomes to")
    parser.add_argument("--keep", action="store_true", help="leave the machines up for a look around")
    parser.add_argument("--lanes", type=int, default=1, help="how many scenarios run at a time")
    parser.add_argument("--queue", type=int, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="+", type=Path, help="pairs of script and nodes.toml")
    return parser.parse_args()


def _archives(arguments: argparse.Namespace, scenarios: list[tuple[Path, Path]]) -> list[Path]:
    """The base of every scenario."""
    known: dict[tuple, Path] = {}
    archives = []
    for _, nodes_file in scenarios:
        scenario_nodes = nodes.read(nodes_file)
        recipe = (scenario_nodes.suite or arguments.suite, tuple(sorted(scenario_nodes.packages)))
        if recipe not in known:
            known[recipe] = base.archive(
                recipe[0], list(recipe[1]), arguments.cache / "base",
                quiet=sandbox.is_inside() or arguments.queue is not None,
            )
        archives.append(known[recipe])
    return archives


def _setup(arguments: argparse.Namespace, archive: Path) -> scenario.Setup:
    """A base unpacked and, once for each, the release files installed over it."""
    work = sandbox.WORK / "base" / archive.name
    root = work / "root"
    if not root.exists():
        base.unpack(archive, root)
        _enable_network(root)
    layer = work / "layer"
    if arguments.dist and not layer.exists():
        layer = product.install(arguments.dist, arguments.installer, root, work)
    logs = arguments.cache / "logs" / base.suite_of(archive)
    return scenario.Setup(
        root, arguments.dist, arguments.installer, arguments.packages, layer if arguments.dist else None, logs, arguments.keep
    )


def _enable_network(root: Path) -> None:
    """What every machine has on: its link's addresses, and a journal that outlives it. Off: what only takes time."""
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (wanted / "systemd-networkd.service").symlink_to("/lib/systemd/system/systemd-networkd.service")
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer",
                 "fstrim.timer", "console-getty.service", "getty@.service", "systemd-networkd-wait-online.service"):
        (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
    (root / "var/log/journal").mkdir(exist_ok=True)


def _summary(outcomes: list[scenario.Outcome], arguments: argparse.Namespace) -> int:
    report.line("")
    for each in outcomes:
        why = f"; {each.why}" if each.why else ""
        report.line(f"{'passed' if each.passed else 'FAILED'}  {each.name} on {each.suite}, {each.seconds:.1f} s{why}")
    if arguments.report:
        arguments.report.write_text(
            "".join(f"{'passed' if each.passed else 'failed'}\t{each.name}\t{each.seconds:.1f} s\t{each.why}\n" for each in outcomes)
        )
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
