"""The types of the settings against the daemon's own parser, value by value: what the daemon takes, the options take."""

import json
import os
import random
import tomllib

from .tools import Failed, Tools, expect, shorten

# The credentials' places: the module has options of its own for them, and refuses this key with an assertion.
NOT_OPTIONS = {"network.secret_file"}
_ROUNDS = 40
_ALPHABET = "aZ09-_.*:/[]%+= \tms"
# Values of every kind there is, for every key.
_KINDS = [True, False, 0, -1, 7, 65536, 1.5, "", "x", "/x", "10s", [], [True], ["x"], [["x"]], {"x": 1}]


def known(tools: Tools) -> dict[str, object]:
    """Every key of the daemon's configuration with a value: a test of mesher_config holds that file to the parser."""
    document = tomllib.loads((tools.repository / "mesher_config/tests/full.toml").read_text())
    keys: dict[str, object] = {}
    for name, value in document.items():
        keys |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return keys


def same_keys(tools: Tools) -> None:
    """The options are the daemon's keys, no more and no less."""
    daemon = set(known(tools)) - NOT_OPTIONS
    options = set(_verdicts(tools, [], None)["keys"])
    expect("settings that the daemon does not have", options - daemon, set())
    expect("keys of the daemon that are no option", daemon - options, set())


def same_values(tools: Tools) -> None:
    """Random values, most of them nearly right. What the daemon takes must be taken: a user could not write it else. What
    is of another kind, such as a number for a string, must be refused here as it is there."""
    seed = int(os.environ.get("MESHER_NIX_SEED") or random.randrange(2**32))
    chance = random.Random(seed)
    keys = {key: value for key, value in known(tools).items() if key not in NOT_OPTIONS}
    rounds = [{key: _change(chance, value) for key, value in keys.items()} for _ in range(_ROUNDS)]
    rounds += [dict.fromkeys(keys, kind) for kind in _KINDS] + [keys]
    daemon = [_refused_by_daemon(tools, each) for each in rounds]
    candidates = [{"key": key, "value": value} for each in rounds for key, value in each.items()]
    taken = _verdicts(tools, candidates, None)["taken"]
    if tools.lib:
        real = _verdicts(tools, candidates, str(tools.lib))["taken"]
        for candidate, ours, theirs in zip(candidates, taken, real, strict=True):
            expect(f"the little lib about {candidate}", ours, theirs)
    both = wide = 0
    verdicts = iter(taken)
    for each, refused in zip(rounds, daemon, strict=True):
        for key, value in each.items():
            option = next(verdicts)
            if key not in refused and not option:
                raise Failed(f"the daemon takes {key} = {value!r}, and the option refuses it (MESHER_NIX_SEED={seed})")
            if key in refused and option and _kind(value) != _kind(keys[key]):
                raise Failed(f"the option takes {key} = {value!r}, which is of another kind than the daemon's "
                             f"{keys[key]!r} (MESHER_NIX_SEED={seed})")
            both += option and key not in refused
            wide += option and key in refused
    # Were one side to refuse all, nothing would be shown.
    if both < len(keys) * 3 or not any(daemon):
        raise Failed(f"only {both} of {len(candidates)} values were taken by both (MESHER_NIX_SEED={seed})")
    print(f"        {len(candidates)} values: {both} taken by both, {wide} left to the daemon, seed {seed}", flush=True)


def _verdicts(tools: Tools, candidates: list[dict], lib: str | None) -> dict:
    file = tools.scratch / "candidates.json"
    file.write_text(json.dumps(candidates))
    return tools.evaluate(f"import {tools.repository}/tests/nix/schema.nix {{ libPath = {lib or 'null'}; candidates = {file}; }}")


def _refused_by_daemon(tools: Tools, values: dict[str, object]) -> set[str]:
    file = tools.scratch / "schema.toml"
    file.write_text("".join(f"{key} = {_toml(value)}\n" for key, value in values.items()))
    result = tools.call([tools.program("mesherctl"), "--json", "config", "check", str(file)])
    try:
        problems = json.loads(result.stdout)
    except json.JSONDecodeError as error:
        raise Failed(f"mesherctl config check: {shorten(result.stdout + result.stderr)}") from error
    refused = {problem["key"] for problem in problems}
    if unknown := refused - set(values):
        raise Failed(f"problems with keys that were not given: {sorted(unknown)} in {file.read_text()}")
    return refused


def _toml(value: object) -> str:
    match value:
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
        case _:
            # Numbers, booleans and ASCII strings are written alike.
            return json.dumps(value)


def _kind(value: object) -> object:
    return [_kind(value[0])] if isinstance(value, list) and value else type(value)


def _change(chance: random.Random, value: object) -> object:
    """A value like this one."""
    match value:
        case bool():
            return chance.choice([True, False, "true", 1])
        case int():
            return chance.choice([0, 1, 80, 65535, 65536, -1, str(value), chance.randrange(70000)])
        case list():
            some = chance.sample(value, chance.randrange(len(value) + 1))
            return [_change(chance, each) if chance.random() < 0.5 else each for each in some]
        case str():
            return _change_text(chance, value)
    raise AssertionError(f"a value of a new kind: {value!r}")


def _change_text(chance: random.Random, text: str) -> str:
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        place = chance.randrange(len(text) + 1)
        match chance.randrange(5):
            case 0:
                text = text[:place] + chance.choice(_ALPHABET) + text[place:]
            case 1:
                text = text[:place] + text[place + 1:]
            case 2:
                text = text[:place] + chance.choice(_ALPHABET) + text[place + 1:]
            case 3:
                text = text[:place] + text[place:].swapcase()
            case 4:
                text = text[:place] + text[:place] * chance.choice([1, 1, 4]) + text[place:]
    return text


CHECKS = [("schema: keys", "", same_keys), ("schema: values", "", same_values)]
