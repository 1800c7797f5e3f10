"""Writes `.env.example`: `python -m scripts.env_example`. Names and defaults are those of `streams/settings.py`, the words those of
`docs/reference/settings.md`; a test holds the file against them.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.shipped import ROOT
from streams.settings import Settings

FILE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "reference" / "settings.md"

_HEAD = """\
# Copy it to .env and take the # away where you want another value; as it is, it changes nothing.
# The environment goes first. docs/reference/settings.md has more on each of them.
"""
_COMPOSE_HEAD = """
# For docker compose only

"""
COMPOSE = {
    "POSTGRES_PASSWORD": (
        "",
        "The database's password; letters and digits only, since it stands in an address. Must be set.",
    ),
    "GRAFANA_ADMIN_PASSWORD": ("", "The password of Grafana's user admin. Must be set."),
    "SPINE_IMAGE": ("genai-spine:latest", "The image of worker and web; it is built when it is not there."),
    "SPINE_WORKERS": ("1", "How many workers."),
    "SPINE_BIND": ("127.0.0.1", "The address that ports are bound to on this machine."),
    "KAFKA_HOST_PORT": ("9092", "Kafka's port on this machine, for tools that run outside of the containers."),
    "KAFKA_CLUSTER_ID": (
        "Z2VuYWktc3BpbmUtMDAwMQ",
        "Kafka's cluster id, 16 bytes in base64; it cannot change once there is data.",
    ),
    "KAFKA_HEAP_OPTS": ("-Xms512m -Xmx1g", "The memory of Kafka's Java."),
    "OLLAMA_GPUS": ("all", "How many GPUs Ollama gets: a number, or all."),
    "PROMETHEUS_PORT": ("9090", "Prometheus' port on this machine."),
    "PROMETHEUS_RETENTION": ("30d", "How long Prometheus keeps its figures."),
    "GRAFANA_PORT": ("3000", "Grafana's port on this machine."),
}
"""What the compose files ask for beside the settings: its default there, and what it is."""


def text() -> str:
    """The whole file."""
    return _HEAD + "".join(_settings()) + _COMPOSE_HEAD + "".join(_lines(COMPOSE))


def _settings() -> Iterator[str]:
    page = PAGE.read_text(encoding="utf-8")
    defaults = {f"GENAI_{name.upper()}": field.default for name, field in Settings.model_fields.items()}
    for title, section in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        rows = re.findall(r"^\| `(GENAI_\w+)` \| .*? \| (.*) \|$", section, re.MULTILINE)
        if rows:
            yield f"\n# {title}\n\n"
            yield from _lines({name: (shown(defaults[name]), _first_sentence(words)) for name, words in rows})


def _lines(table: dict[str, tuple[str, str]]) -> Iterator[str]:
    for name, (default, words) in table.items():
        yield f"# {words}\n#{name}={default}\n"


def shown(default: Any) -> str:
    """As the environment would say it."""
    if default is None:
        return ""
    return {True: "true", False: "false"}[default] if isinstance(default, bool) else str(default)


def _first_sentence(words: str) -> str:
    plain = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", words).replace("`", "").replace("\\|", "|")
    return re.split(r"(?<=[.!?]) (?=[A-Z`\"0-9])", plain)[0]


def main(path: Path = FILE) -> None:
    """Write the file."""
    path.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{path.name} is up to date.\n")


if __name__ == "__main__":
    main()
