"""The deployment's files as values: variables filled in as Compose does, expressions with the metrics and labels that they name."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml

from streams import cli
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = ROOT / "docker-compose.yml"
COMPOSE_DEV = ROOT / "docker-compose.dev.yml"
FILLED = {"GENAI_API_KEY": "key", "POSTGRES_PASSWORD": "word", "GRAFANA_ADMIN_PASSWORD": "word"}
"""What a user must say."""

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?:(?P<how>:?[-?+])(?P<rest>(?:[^{}])*))?\}")


def variables(path: Path) -> dict[str, set[str]]:
    """Name -> the defaults that the file gives it; `?` when it must be set."""
    found: dict[str, set[str]] = {}
    for match in _VARIABLE.finditer(_without_comments(path)):
        how = match["how"] or ""
        found.setdefault(match["name"], set()).add("?" if how.endswith("?") else match["rest"] or "")
    return found


def compose(path: Path, given: Mapping[str, str] = FILLED) -> dict[str, Any]:
    """The file as Compose reads it: variables filled in, two dollars one."""

    def value(match: re.Match[str]) -> str:
        name, how, rest = match["name"], match["how"] or "", match["rest"] or ""
        if given.get(name):
            return given[name]
        assert not how.endswith("?"), f"{path.name} wants {name}: {rest}"
        return rest

    found: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, _without_comments(path)).replace("$$", "$"))
    return found


def _without_comments(path: Path) -> str:
    return re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def commands() -> set[str]:
    """What may stand behind `genai-spine`."""
    command: Any = typer.main.get_command(cli.app)
    return set(command.commands)


def settings_named(names: Mapping[str, Any]) -> dict[str, Any]:
    """The `GENAI_` ones, as `Settings` calls them. Fails on one that is no setting."""
    ours = {name.removeprefix("GENAI_").lower(): value for name, value in names.items() if name.startswith("GENAI_")}
    assert set(ours) <= set(Settings.model_fields), sorted(set(ours) - set(Settings.model_fields))
    return ours


METRIC = re.compile(r"\bgenai[_:][a-zA-Z0-9_:]+")
_SELECTED = re.compile(r"\b(?P<metric>(?:genai[_:][a-zA-Z0-9_:]+|up))\{(?P<inside>[^}]*)\}")
_GROUPED = re.compile(r"\b(?:by|without|on)\s*\((?P<labels>[^)]*)\)")


def selectors(expression: str) -> Iterator[tuple[str, str]]:
    """(metric, label) for every label that a selector names."""
    for match in _SELECTED.finditer(expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", match["inside"]):
            yield match["metric"], label


def grouped(expression: str) -> set[str]:
    """The labels that the expression groups by."""
    inside = ",".join(match["labels"] for match in _GROUPED.finditer(expression))
    return {label.strip() for label in inside.split(",") if label.strip()}
