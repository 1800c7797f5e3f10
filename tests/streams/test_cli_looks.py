"""Commands that look and print: what they import, and what is said where nobody can be told."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from streams.cli import app, narrow
from tests.parts import ledgers
from tests.streams.commands import SCRIPT, environment

_LOOKS = """
import os, sys
from streams import cli
from streams.errors import SpineError
sys.stdout = open(os.devnull, "w")
for words, heavy in {looks!r}:
    try:
        cli.app(words.split(), standalone_mode=False)
    except SpineError:
        pass
    found = [name for name in heavy.split() if name in sys.modules]
    if found:
        sys.exit(f"{{words}} imports {{found}}")
"""
_NO_WORK = "faust fastapi starlette alembic asyncpg structlog agents.engine streams.web.front streams.decode"
_NO_LEDGER = f"{_NO_WORK} sqlalchemy"
_NO_MODELS = f"{_NO_WORK} agents providers prompts httpx aiohttp"
_LEDGER_ALONE = f"{_NO_MODELS} aiokafka psutil"
_LEDGER = [
    *((f"{name} list", _LEDGER_ALONE) for name in ("requests", "held", "keys", "budgets")),
    *((words, _LEDGER_ALONE) for words in ("requests show x", "costs", "ledger stats")),
    *((words, _NO_MODELS) for words in ("queue", "queue x", "dlq list")),
    ("prompts list", f"{_NO_WORK} agents providers httpx aiohttp"),
]
_OTHERS = [
    *((words, f"{_NO_LEDGER} {_NO_MODELS} rich") for words in ("broker status", "topics list", "topics check")),
    ("routes list", f"{_NO_LEDGER} agents prompts httpx aiohttp"),
    ("pipelines list", f"{_NO_LEDGER} httpx aiohttp"),
    ("schedules list", f"{_NO_LEDGER} aiohttp"),
    ("runs list", f"{_NO_LEDGER} aiohttp"),
]
_MODELS = [("models list", f"{_NO_LEDGER} agents prompts aiokafka")]  # the providers are asked themselves


@pytest.mark.parametrize("looks", [_LEDGER, _OTHERS, _MODELS], ids=["ledger", "others", "models"])
def test_looks_import_nothing_that_works(tmp_path: Path, looks: list[tuple[str, str]]) -> None:
    """In one process, one after the other, the lightest first: what a look imports stays for those behind it."""
    ledgers.place(tmp_path / "genai.db")
    code = _LOOKS.format(looks=looks)
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_typer_makes_the_one_command_that_is_asked_for() -> None:
    """All hundred cost a look a tenth of its time; what is no command keeps them all, to be listed or meant."""
    kept = []
    for words in (["queue"], ["--debug", "runs", "list"], ["fake-provider"], ["--help"], ["quee"], []):
        whole = typer.Typer()
        whole.registered_groups, whole.registered_commands = app.registered_groups, app.registered_commands
        narrow(whole, words)
        kept.append((len(whole.registered_groups), len(whole.registered_commands)))
    everything = len(app.registered_groups), len(app.registered_commands)
    assert kept == [(0, 1), (1, 0), (0, 1), everything, everything, everything]


@pytest.mark.parametrize("arguments", [("costs",), ("requests", "list", "--json"), ("models", "--help")])
def test_an_output_that_cannot_be_written_is_no_defect(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ledgers.place(tmp_path / "genai.db")
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - no file
        found = subprocess.run(
            [SCRIPT, *arguments], env=environment(tmp_path), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    said = "Standard output cannot be written (No space left on device), so what was to be printed is not whole.\n"
    empty = "--json" in arguments  # nothing to print, nothing lost
    assert (found.returncode, found.stderr) == ((0, "") if empty else (1, said))
