"""--config FILE: the options of a command from a YAML or JSON file, or from the settings.json of a run.

    style: [toon3d, oil]        # --style toon3d --style oil
    paste-back: true
    set:                        # of a training: --set batch=4 --set structure.weight=2
      batch: 4
      structure.weight: 2

Options that are typed count more than the file. A key that the command does not know is refused.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from ..errors import UsageError
from ..files import open_regular, parse_json

log = logging.getLogger("portraitist")

FACTS = frozenset(
    "attributes base data encoder exemplars looks networks painter persons stage style teacher terms translator "
    "version panel basic groups start libraries allowed".split()
)
"""What the settings.json of a run records of its surroundings: what it began with and saw, not what was asked for."""
_NO_RECIPE = ("from_scratch", "grow")
"""What the settings of a training without a recipe call theirs."""
_LARGEST = 8 << 20
_RECIPE = re.compile(r"(?P<recipe>[\w+]+) \((?P<preset>\w+)\)")


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Make the values of a file the defaults of the command; the callback of --config.

    Raises:
        UsageError: The file cannot be read, or names something that the command does not know.
    """
    if file is None or context.resilient_parsing:
        return file
    found = _loaded(file)
    options = {key: parameter for parameter in context.command.params for key in _keys(parameter)}
    settings = "set" in options and {"data", "version"} <= set(found)
    if settings:
        left = ", ".join(key for key in found if key in FACTS)
        log.info("not taken from %s, as they are what its run began with: %s; name a base with --from", file, left)
        found = _of_run(found, options)
    defaults: dict[str, Any] = {}
    for key, value in found.items():
        name = str(key).replace("_", "-")
        if name not in options or name in ("config", "json", "help"):
            known = ", ".join(sorted({k for k in options if k not in ("config", "json", "help")}))
            raise UsageError(f"{file} names '{key}', which this command does not know.", f"It knows: {known}.")
        if value is not None:
            parameter = options[name]
            defaults[parameter.name or ""] = _value(parameter, name, value, file)
    context.default_map = {**(context.default_map or {}), **defaults}
    return file


def _loaded(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        with open_regular(file) as opened:
            text = opened.read(_LARGEST + 1).decode()
        if len(text) > _LARGEST:
            raise UsageError(f"{file} is larger than any file of options.", "Name another.")
        found = _once(parse_json(text), text) if file.suffix == ".json" else _plain(text)
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}).", "Check its path.") from error
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise UsageError(f"{file} is not YAML or JSON ({' '.join(str(error).split())}).", "Mend it there.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file} holds no options.", "Write a line for each: `strength: 0.8`.")
    return found


def _once(found: Any, text: str) -> Any:
    """Return what was read of a JSON text; one that gives a key twice is refused.

    Raises:
        ValueError: It does.
    """

    def pairs(given: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in given]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"it names {twice[0]!r} twice")
        return dict(given)

    json.loads(text, object_pairs_hook=pairs)
    return found


def _plain(text: str) -> Any:
    """Return what a YAML text holds that names each key once and repeats nothing, which could grow without end.

    Raises:
        YAMLError: It is none.
    """
    import yaml

    seen: set[int] = set()

    def check(node: Any) -> None:
        if id(node) in seen:
            raise yaml.YAMLError("it has aliases (*), which options need not have")
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
            if twice := [name for name in names if names.count(name) > 1]:
                raise yaml.YAMLError(f"it names {twice[0]!r} twice")
            for pair in node.value:
                check(pair[0])
                check(pair[1])
        elif isinstance(node, yaml.SequenceNode):
            for inner in node.value:
                check(inner)

    if (root := yaml.compose(text, yaml.SafeLoader)) is not None:
        check(root)
    return yaml.safe_load(text)


def _keys(parameter: Any) -> Iterator[str]:
    """Yield what an option or an argument is called in a file: its long names, without dashes in front."""
    if parameter.param_type_name == "argument":
        yield (parameter.name or "").replace("_", "-")
    for name in (*parameter.opts, *parameter.secondary_opts):
        if name.startswith("--"):
            yield name[2:]


def _value(parameter: Any, name: str, value: Any, file: Path) -> Any:
    """Return a value as the command line would give it."""
    if name == "set" and isinstance(value, dict):
        value = [f"{key}={each}" for key, each in _flat(value)]
    several = parameter.multiple or parameter.nargs != 1
    if isinstance(value, dict) or (isinstance(value, list) and not several):
        raise UsageError(f"{file} gives '{name}' more than one value.", "Give it one.")
    if any(isinstance(each, dict | list) for each in (value if isinstance(value, list) else ())):
        raise UsageError(f"{file} gives '{name}' lists within a list.", "Write one value a line: `- value`.")
    if isinstance(value, bool) and not getattr(parameter, "is_flag", False):
        raise UsageError(f"{file} gives '{name}' {str(value).lower()}, and it is no switch.", "Give it a value.")
    if parameter.secondary_opts and name in (secondary[2:] for secondary in parameter.secondary_opts):
        value = not value
    if several:
        return [str(each) for each in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)


def _of_run(found: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the settings of a run into options: those that the command has, and --set for the others."""
    ready: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in found.items():
        name = key.replace("_", "-")
        if key in FACTS or value in (None, "", []):
            continue
        if key == "recipe":
            match = _RECIPE.fullmatch(str(value))
            if match and match["recipe"] not in _NO_RECIPE:
                ready |= {"recipe": match["recipe"], "preset": match["preset"]}
            continue
        if key == "attribute":
            ready["by"] = value
        elif key == "paths":
            ready["paths"] = ",".join(value)
        elif name in options:
            ready[name] = value
        else:
            rest[key] = value
    return {**ready, "set": rest} if rest else ready


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        elif value is not None:
            yield f"{above}{key}", value
