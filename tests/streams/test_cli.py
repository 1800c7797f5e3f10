"""The command line, without a broker."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import orjson
import pytest

from streams import audit, dlq, reading, showing
from streams.logging import Seldom
from tests.streams.commands import SCRIPT, ask, environment, here, on_a_terminal, run, served

COMMANDS = (
    "bench",
    "broker",
    "costs",
    "database",
    "demo",
    "dlq",
    "doctor",
    "fake-provider",
    "kafka",
    "ledger",
    "migrate",
    "models",
    "prompts",
    "replay",
    "requests",
    "results",
    "submit",
    "topics",
    "up",
    "web",
    "worker",
)


def test_help_names_every_command_and_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from streams import cli\n"
        "named = 'faust aiokafka sqlalchemy fastapi pydantic pydantic_settings httpx alembic asyncio psutil orjson structlog'\n"
        "heavy = set(named.split()) & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    shown = run(tmp_path, "--help").stdout
    assert [name for name in COMMANDS if f" {name} " not in shown] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, tmp_path: Path) -> None:
    if name != "kafka":  # its --help is the tool's own
        shown = run(tmp_path, name, "--help")
        assert (shown.returncode, "Usage: genai-spine" in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "says"),
    [
        (["worker"], {}, 3, "`genai-spine broker start`"),
        (["worker"], {}, 3, "`genai-spine up`"),
        (["results"], {}, 3, "GENAI_KAFKA_BROKERS"),
        (["costs"], {}, 1, "There is no ledger yet"),
        (["costs", "--from", "x"], {}, 2, "YYYY-MM-DD"),
        (["web"], {"GENAI_DEFAULT_PROVIDER": "zz"}, 1, "fake, local, ollama"),
        (["web"], {"GENAI_API_HOST": "0.0.0.0"}, 1, "GENAI_API_KEY"),
        (["up"], {"GENAI_API_HOST": "0.0.0.0"}, 1, "GENAI_ALLOW_INSECURE=1"),
        (["web"], {"GENAI_DATABASE_URL": "mysql://u:secret@h/x"}, 1, "postgresql://"),
        (["web"], {"GENAI_API_PORT": "many"}, 1, "GENAI_API_PORT"),
        (["web"], {"GENAI_PRICES": "{"}, 1, "prices"),
        (["submit", "/nowhere.jsonl"], {}, 1, "Cannot read /nowhere.jsonl"),
        (["submit", "-", "--lane", "fast"], {"GENAI_KAFKA_BROKERS": "127.0.0.1:1"}, 2, "realtime, normal or batch"),
        (["submit", "-"], {"GENAI_KAFKA_BROKERS": "127.0.0.1:1"}, 1, "No Kafka broker answers at 127.0.0.1:1"),
        (["submit", "-", "--format", "text"], {}, 2, "--operation"),
        (["submit", "-", "--input", "[1]"], {}, 2, "--input is no JSON object"),
        (["submit", "-", "--options", "{"], {}, 2, "--options is not JSON"),
        (["submit", "-", "--format", "xml"], {}, 2, "--format"),
        (["submit", "-", "--out", "/"], {}, 1, "Cannot write / (Is a directory)"),
        (["submit", "-", "--timeout", "soon"], {}, 2, "--timeout"),
        (["nonsense"], {}, 2, "nonsense"),
        (["database", "status"], {}, 3, ""),
        (["database", "status"], {"GENAI_DATABASE_URL": "embedded"}, 3, ""),
        (["dlq", "replay"], {}, 2, "--all"),
        (["prompts", "show", "headlin"], {}, 2, "did you mean 'headline'?"),
        (["prompts", "render", "headline"], {}, 2, "needs the variable 'content'"),
        (["prompts", "render", "headline", "--version", "9"], {}, 2, "has no version 9; it has 1"),
        (["prompts", "render", "headline", "--var", "content"], {}, 2, "NAME=VALUE"),
        (["prompts", "render", "headline", "--var", "max_words=x"], {}, 2, "max_words=3"),
        (["prompts", "render", "tone", "--var", "content=a", "--var", "content=b"], {}, 2, "given twice"),
        (["prompts", "render", "tone", "--var-file", "content=/nowhere.txt"], {}, 2, "Cannot read /nowhere.txt"),
        (["prompts", "run", "tone", "--var", "content=a", "--url", "http://127.0.0.1:1"], {}, 1, "genai-spine up"),
        (["prompts", "run", "tone"], {}, 2, "needs the variable 'content'"),
        (["prompts", "list"], {"GENAI_PROMPTS_DIR": "/nowhere"}, 1, "there is no such folder"),
        (["web"], {"GENAI_PROMPTS_DIR": "/nowhere"}, 1, "GENAI_PROMPTS_DIR"),
        (["kafka", "nonsense"], {}, 2, "console-consumer"),
    ],
)
def test_errors_are_one_sentence_that_says_what_to_do(
    tmp_path: Path, arguments: list[str], changes: dict[str, str], code: int, says: str
) -> None:
    line = '{"operation": "embed", "content": "x"}'
    called = run if arguments[0] in _SERVE else here
    found = called(tmp_path / "data", *arguments, given=line, **changes)
    assert (found.returncode, "Traceback" in found.stderr, "secret" in found.stderr) == (code, False, False)
    assert says in found.stderr


_SERVE = ("worker", "web", "up", "kafka")
"""In a process of their own: they set logging up, or become another program."""


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in run(tmp_path, "--debug", "worker").stderr


def test_web_answers_and_ends_with_zero_at_sigterm(tmp_path: Path) -> None:
    with served(tmp_path, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        assert ask(f"{url}/v1/summarize", {"content": "One."})[1]["status"] == "succeeded"
        assert web.stop() == 0
    assert "One." not in web.log.read_text()


def test_web_lets_a_running_call_end_and_its_caller_have_the_answer(tmp_path: Path) -> None:
    with served(tmp_path, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        body = orjson.dumps({"content": "x [fake:sleep:1.5]", "id": "a"})
        with subprocess.Popen(
            ["curl", "-s", f"{url}/v1/summarize", "-H", "content-type: application/json", "-d", body],
            stdout=subprocess.PIPE,
        ) as caller:
            while ask(f"{url}/v1/requests/a")[0] == 404:
                time.sleep(0.05)
            assert web.stop() == 0
            assert orjson.loads(caller.communicate(timeout=10)[0])["status"] == "succeeded"


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with served(tmp_path, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        ask(f"{url}/v1/summarize?wait=0", {"content": "x [fake:sleep:20]"})
        web.process.send_signal(signal.SIGTERM)
        web.said("stopping")
        began = time.monotonic()
        assert web.stop(signal.SIGINT) == 130
        assert time.monotonic() - began < 2


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        found = run(tmp_path, "web", GENAI_API_PORT=str(other.getsockname()[1]))
    assert (found.returncode, "set GENAI_API_PORT to another port" in found.stderr) == (1, True)


def test_web_waits_for_a_database_that_is_not_there_and_ends_at_sigterm(tmp_path: Path) -> None:
    nowhere = "postgresql://u:secret@127.0.0.1:1/x"
    with served(tmp_path, "web", GENAI_DATABASE_URL=nowhere) as web:
        url = web.said("the API listens")["url"]
        web.said("waiting for the database")
        state, told = ask(f"{url}/ready")
        assert (state, "waiting for the database" in told["parts"]["start"]["why"]) == (503, True)
        assert ask(f"{url}/health")[0] == 200
        assert web.stop() == 0
    assert "secret" not in web.log.read_text()


def test_worker_waits_for_a_broker_that_is_not_there_and_ends_at_sigterm(tmp_path: Path) -> None:
    with served(tmp_path, "worker", GENAI_KAFKA_BROKERS="127.0.0.1:1") as worker:
        url = worker.said("metrics and state")["url"]
        worker.said("waiting for Kafka at 127.0.0.1:1")
        assert (ask(f"{url}/health")[0], ask(f"{url}/ready")[0], worker.stop()) == (200, 503, 0)


def test_migrate_makes_the_ledger_and_costs_shows_it_empty(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    told = orjson.loads(run(tmp_path, "costs", "--json").stdout)
    assert (told["days"], told["totals"]["cost_usd"]) == ([], "0.000000")


def test_fake_provider_serves_and_ends_at_sigterm(tmp_path: Path) -> None:
    with subprocess.Popen(
        [SCRIPT, "fake-provider", "--port", "0"], env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as double:
        assert double.stdout is not None
        url = double.stdout.readline().split()[-1]
        assert ask(f"{url}/api/version")[0] == 200
        double.send_signal(signal.SIGTERM)
        assert double.wait(10) == 0


@pytest.mark.parametrize("given", ["", "\n \n"])
def test_nothing_to_send_is_told(tmp_path: Path, given: str) -> None:
    found = run(tmp_path, "submit", "-", given=given)
    assert (found.returncode, found.stderr) == (1, "There is nothing in standard input to send.\n")


def test_broken_lines_alone_are_named_without_a_broker(tmp_path: Path) -> None:
    (tmp_path / "feed.jsonl").write_text("{\n[1]\n" * 12)
    found = run(tmp_path, "submit", "feed.jsonl")
    said = found.stderr.splitlines()
    assert (found.returncode, said[0].partition(" (")[0], said[-1]) == (1, "Line 1 is not JSON", "4 more like these.")


def test_ctrl_c_while_it_reads_says_how_to_go_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [SCRIPT, "submit", "-"],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdin is not None
        command.stdin.write("{\n")  # a line that is told at the end, so that what was read is seen
        command.stdin.flush()
        until = time.monotonic() + 30
        while not _waits_for_input(command.pid) and time.monotonic() < until:
            time.sleep(0.1)
        command.send_signal(signal.SIGINT)
        _, said = command.communicate(timeout=30)
    assert (command.returncode, "Traceback" in said, "nothing is paid twice" in said) == (130, False, True)


def _waits_for_input(pid: int) -> bool:
    """Whether it has got so far as to take signals by its own handler."""
    import psutil

    status = Path(f"/proc/{pid}/status").read_text() if sys.platform == "linux" else ""
    caught = int(status.split("SigCgt:")[1].split()[0], 16) if status else 0
    return bool(caught >> (signal.SIGINT - 1) & 1) and psutil.Process(pid).status() == psutil.STATUS_SLEEPING


@pytest.mark.parametrize(("changes", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_they_are_not_wanted(
    tmp_path: Path, changes: dict[str, str], coloured: bool
) -> None:
    shown, code = on_a_terminal(tmp_path, "submit", "--help", **changes)
    assert (code, re.search(r"\x1b\[[0-9;]*3[0-7]m", shown) is not None) == (0, coloured)


def test_a_table_fits_into_40_columns_of_ascii(tmp_path: Path) -> None:
    run(tmp_path, "migrate")
    shown, code = on_a_terminal(tmp_path, "costs", columns=40, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    widest = max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()))
    assert (code, shown.isascii(), widest <= 40, "Traceback" in shown) == (0, True, True, False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(shell: str, tmp_path: Path) -> None:
    asked = {"_GENAI_SPINE_COMPLETE": f"complete_{shell}", "COMP_WORDS": "genai-spine do", "COMP_CWORD": "1"}
    more = {"_TYPER_COMPLETE_ARGS": "genai-spine do", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = run(tmp_path, **asked, **more)
    assert ("doctor" in found.stdout, "submit" in found.stdout) == (True, False)


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"set -o pipefail; {SCRIPT} doctor --json | true"
    found = subprocess.run(
        ["bash", "-c", command], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ("Traceback" in found.stderr, "BrokenPipe" in found.stderr) == (False, False)


def _record(offset: int, key: bytes | None, value: object, headers: dict[str, str] | None = None) -> reading.Record:
    packed = tuple((name, text.encode()) for name, text in (headers or {}).items())
    body = value if isinstance(value, bytes) else None if value is None else orjson.dumps(value)
    return reading.Record("t", 0, offset, 0, key, body, packed)


def _usage(id_: str, cost: str | None) -> dict[str, object]:
    return {"id": id_, "at": "2026-01-02T23:59:59Z", "provider": "p", "model": "m", "tenant": "t", "cost_usd": cost}


@pytest.mark.fast
def test_usage_is_folded_by_id() -> None:
    found = [
        _record(0, b"k", _usage("1", "0.5")),
        _record(1, b"k", _usage("1", "0.5")),
        _record(2, b"k", _usage("2", None)),
    ]
    assert audit.folded(found) == {"2026-01-02|p|m|t": 500_000_000}


@pytest.mark.fast
def test_the_last_word_on_a_key_counts_and_a_tombstone_removes_it() -> None:
    found = [
        _record(1, b"a", {"cost_usd": "0.000002"}),
        _record(0, b"a", {"cost_usd": "0.000001"}),
        _record(2, b"b", {"cost_usd": "1"}),
        _record(3, b"b", None),
    ]
    assert audit.latest(found) == {"a": 2000}


@pytest.mark.fast
def test_a_book_is_asked_only_about_the_days_that_it_has_whole() -> None:
    books = {"one": {"2026-01-01|x": 1, "2026-01-02|x": 2}, "two": {"2026-01-02|x": 3}}
    told = audit.differences(audit.Audit(books, {"two": "2026-01-02"}))
    assert told == ["2026-01-02|x: one 2 nano-dollars, two 3 nano-dollars"]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("begins", "whole_from"),
    [
        ({0: 0, 1: 0}, ""),  # nothing has gone
        ({0: 7, 1: 0}, "2026-01-03"),  # partition 0 begins within the 2nd
        ({0: 7, 1: 9}, "2026-01-04"),  # partition 1 begins within the 3rd
        ({0: 7, 2: 5}, "2026-02-02"),  # partition 2 is empty: of today itself something may have gone
    ],
)
def test_events_that_their_topic_no_longer_keeps_make_days_incomplete(begins: dict[int, int], whole_from: str) -> None:
    events = [(0, "2026-01-02T10:00:00Z"), (0, "2026-01-03T10:00:00Z"), (1, "2026-01-03T10:00:00Z")]
    records = [replace(_record(0, b"k", {"at": at}), partition=partition) for partition, at in events]
    assert audit.retained_from(begins, records, date(2026, 2, 1)) == whole_from


@pytest.mark.fast
def test_books_that_differ_are_told_key_by_key() -> None:
    books = {"one": {"a": 1, "b": 2}, "two": {"a": 1}}
    assert audit.differences(audit.Audit(books)) == ["b: one 2 nano-dollars, two 0 nano-dollars"]


@pytest.mark.fast
@pytest.mark.parametrize(
    ("source", "topic"),
    [
        ("genai.requests.summarize.batch/1/7", "genai.requests.summarize.batch"),
        ("http/classify/0", "genai.requests.classify"),
    ],
)
def test_a_dead_letter_goes_back_where_it_came_from(source: str, topic: str) -> None:
    assert dlq.target(dlq.Letter(_record(0, None, b"x", {"genai-source": source}))) == topic


def _letter(offset: int, id_: str, source: str = "genai.requests.embed/0/1") -> dlq.Letter:
    names = {"genai-source": source, "genai-tenant": "t"} | ({"genai-id": id_} if id_ else {})
    return dlq.Letter(_record(offset, None, b"x", names))


@pytest.mark.fast
def test_what_became_of_a_dead_letter_is_told_by_the_ledger_and_by_newer_letters() -> None:
    ids = ("again", "done", "", "runs", "again", "http", "strange")
    sources = {"http": "http/embed/0", "strange": "nowhere/0/1"}
    found = [_letter(n, id_, sources.get(id_, "genai.requests.embed/0/1")) for n, id_ in enumerate(ids)]
    states = {("t", "embed", "done"): "succeeded", ("t", "embed", "runs"): "calling", ("t", "embed", "again"): "failed"}
    states |= {("t", "embed", "http"): "succeeded", ("t", "embed", "strange"): "succeeded"}
    assert list(dlq.became(found, states).values()) == [
        "newer",
        "answered",
        "open",  # nobody could read whose it was
        "under way",
        "open",
        "answered",
        "open",  # nor here of which operation
    ]


@pytest.mark.fast
def test_an_answer_is_one_line() -> None:
    result = {"status": "succeeded", "output": {"summary": "One\ntwo  three"}}
    assert (showing.answer(result), showing.answer(result, 5)) == ("One two three", "One …")


@pytest.mark.fast
def test_repeated_words_of_a_library_come_once_in_a_while() -> None:
    import logging

    seldom = Seldom(every_s=60)
    record = logging.LogRecord("aiokafka", logging.ERROR, "", 0, "no broker", None, None)
    assert [seldom.filter(record) for _ in range(3)] == [True, False, False]


def test_the_speed_bench_of_the_checkout_gets_its_own_options(tmp_path: Path) -> None:
    found = run(tmp_path, "bench", "speed", "--help")
    assert (found.returncode, "--short" in found.stdout, "python -m bench" in found.stdout) == (0, True, True)


def test_the_script_is_installed() -> None:
    assert os.access(SCRIPT, os.X_OK)
