"""`requests`, `models` and `costs --by`, on a ledger that a web process has filled."""

import contextlib
import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams import cli
from streams.errors import SpineError
from streams.showing import plain
from streams.tabling import Row, listed
from tests.streams.commands import SCRIPT, ask, environment, served

EVIL = "[bold red]a[/]\x1b[31m\u202eb"
OLLAMA = {"GENAI_OLLAMA_URL": "http://127.0.0.1:1"}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with served(folder, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        ask(f"{url}/v1/complete", {"prompt": EVIL, "id": "evil \u202e[b]", "tenant": "t[/]"})
        ask(f"{url}/v1/summarize", {"content": "One.", "id": "a/1", "tenant": "t", "run_id": "r"})
        ask(f"{url}/v1/classify", {"content": "One.", "categories": ["x", "y"], "id": "a/1", "tenant": "t"})
        ask(f"{url}/v1/summarize", {"content": "x [fake:refused]", "id": "bad"})
        assert web.stop() == 0
    return folder


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


def run(folder: Path, *arguments: str, **changes: str) -> Ended:
    """The command in this process: each start of another one takes a second."""
    with contextlib.chdir(folder):
        found = CliRunner().invoke(cli.app, arguments, env=environment(folder, **changes))
    if isinstance(found.exception, SpineError):
        return Ended(found.exception.exit_code, found.stdout, str(found.exception))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Ended(found.exit_code, found.stdout, found.stderr)


def lines(folder: Path, *arguments: str, **changes: str) -> list[dict[str, object]]:
    found = run(folder, *arguments, "--json", **changes)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


def test_requests_are_listed_newest_first_and_filtered(filled: Path) -> None:
    assert [each["request_id"] for each in lines(filled, "requests", "list")] == ["bad", "a/1", "a/1", "evil \u202e[b]"]
    assert [each["operation"] for each in lines(filled, "requests", "list", "--run", "r")] == ["summarize"]
    assert [each["error_type"] for each in lines(filled, "requests", "list", "-s", "failed")] == ["refused"]
    assert len(lines(filled, "requests", "list", "-n", "2")) == 2


@pytest.mark.parametrize("columns", ["40", "120"])
def test_a_terminal_shows_text_as_text_at_any_width(filled: Path, columns: str) -> None:
    for command in (
        ["requests", "list"],
        ["requests", "show", "evil \u202e[b]", "-t", "t[/]"],
        ["costs", "--by", "tenant"],
    ):
        found = run(filled, *command, COLUMNS=columns)
        assert (found.returncode, "\x1b" in found.stdout, "\u202e" in found.stdout) == (0, False, False), command
        assert max(map(len, found.stdout.splitlines())) <= int(columns), command
    assert "t[/]" in found.stdout


def test_one_request_with_its_calls(filled: Path) -> None:
    (told,) = lines(filled, "requests", "show", "bad")
    assert (told["status"], told["error"]["type"]) == ("failed", "refused")  # type: ignore[index]
    (call,) = told["calls"]  # type: ignore[misc]
    assert call["error"]["type"] == "refused"
    shown = run(filled, "requests", "show", "a/1", "-o", "classify", COLUMNS="100").stdout
    assert "operation  classify" in shown and "1.1" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["requests", "show", "nobody"], 1, "--tenant"),
        (["requests", "show", "a/1"], 2, "add --tenant and --operation"),
        (["requests", "list", "--state", "done"], 2, "unfinished, finished, waiting"),
        (["requests", "list", "--from", "2026-02-30"], 2, "YYYY-MM-DD"),
        (["costs", "--by", "colour"], 2, "day, provider, model, tenant, operation, run"),
        (["models", "list", "--provider", "zz"], 2, "fake, local, ollama"),
        (["models", "list", "-p", "ollama"], 1, "No connection to http://127.0.0.1:1"),
    ],
)
def test_errors_say_what_to_do(filled: Path, arguments: list[str], code: int, says: str) -> None:
    found = run(filled, *arguments, **OLLAMA)
    assert (found.returncode, "Traceback" in found.stderr) == (code, False)
    assert says in found.stderr


def test_without_a_ledger_it_says_so(tmp_path: Path) -> None:
    assert "There is no ledger yet" in run(tmp_path, "requests", "list").stderr


def test_watch_tells_each_change_and_ends_with_zero_at_ctrl_c(filled: Path) -> None:
    command = [SCRIPT, "requests", "watch", "--every", "0.1", "--state", "finished"]
    with subprocess.Popen(command, env=environment(filled), cwd=filled, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        first = [watching.stdout.readline() for _ in range(4)]
        time.sleep(0.3)
        watching.send_signal(signal.SIGINT)
        assert (watching.wait(20), watching.stdout.read()) == (0, "")  # nothing changed, so nothing more was said
    assert [line.split()[0] for line in first] == ["succeeded", "succeeded", "succeeded", "failed"]


def test_models_of_every_provider_and_who_does_not_answer(filled: Path) -> None:
    found = run(filled, "models", "list", COLUMNS="40", **OLLAMA)
    assert found.returncode == 0
    assert "smollm2-135m" in found.stdout and "fake-embed" in found.stdout
    assert "No connection to" in found.stderr
    (told,) = lines(filled, "models", "list", "-p", "fake")
    assert [each["id"] for each in told["data"]] == ["fake", "fake-embed"]  # type: ignore[attr-defined]


def test_costs_by_group(filled: Path) -> None:
    (told,) = lines(filled, "costs", "--by", "operation,tenant")
    named = [(each["operation"], each["tenant"], each["calls"]) for each in told["items"]]  # type: ignore[attr-defined]
    assert named == [("classify", "t", 1), ("complete", "t[/]", 1), ("summarize", "t", 1)]
    assert "classify" in run(filled, "costs", "--by", "operation", COLUMNS="40").stdout


@pytest.mark.fast
def test_a_narrow_terminal_gets_blocks_and_a_wide_one_a_table() -> None:
    rows = [Row({"id": "a", "state": "failed", "lane": ""})]
    assert [type(listed(rows, width)).__name__ for width in (40, 120)] == ["Group", "Table"]
    assert str(listed([], 120)) == "There are none."


@pytest.mark.fast
def test_nothing_that_acts_reaches_a_terminal() -> None:
    assert plain("a\x1b[31m\u202e\x9b") == "a\\x1b[31m\\u202e\\x9b"
