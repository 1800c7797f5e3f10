"""The command line, without a broker."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from agents import OPERATIONS
from streams import audit, dlq, reading, showing
from streams.logging import Seldom
from streams.submit import Bad, Line, parse
from tests.streams.commands import SCRIPT, ask, environment, run, served

COMMANDS = (
    "broker",
    "costs",
    "demo",
    "dlq",
    "doctor",
    "fake-provider",
    "kafka",
    "migrate",
    "prompts",
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
        "heavy = {'faust', 'aiokafka', 'sqlalchemy', 'fastapi', 'pydantic', 'httpx', 'alembic'} & set(sys.modules)\n"
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
    found = run(tmp_path / "data", *arguments, given="", **changes)
    assert (found.returncode, "Traceback" in found.stderr, "secret" in found.stderr) == (code, False, False)
    assert says in found.stderr


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


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"set -o pipefail; {SCRIPT} doctor --json | true"
    found = subprocess.run(
        ["bash", "-c", command], env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ("Traceback" in found.stderr, "BrokenPipe" in found.stderr) == (False, False)


@pytest.mark.fast
def test_lines_are_taken_whole_or_flat_and_bad_ones_are_named() -> None:
    given = [
        b'{"operation": "summarize", "id": "a", "input": {"content": "x"}}',
        b"",
        b'{"content": "x", "tenant": "t"}',
        b"{",
        b"[1]",
        b'{"operation": "dance", "content": "x"}',
        b'{"operation": 3, "content": "x"}',
        orjson.dumps({"content": "x" * 300}),
    ]
    assert list(parse(given, OPERATIONS, "embed", 200)) == [
        Line(1, "summarize", None, "a", b'{"id":"a","input":{"content":"x"}}'),
        Line(3, "embed", "t", None, b'{"tenant":"t","input":{"content":"x"}}'),
        Bad(4, "is not JSON (unexpected end of data: line 1 column 2 (char 1))"),
        Bad(5, 'is no JSON object; write {"operation": …, "input": {…}}'),
        Bad(6, f"names the operation 'dance'; there are {', '.join(sorted(OPERATIONS))}"),
        Bad(7, "names no operation; add one to the line, or give --operation"),
        Bad(8, "has 324 bytes; at most 200 fit into its topic (GENAI_REQUEST_MAX_BYTES)"),
    ]


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
def test_books_that_differ_are_told_key_by_key() -> None:
    books = {"one": {"a": 1, "b": 2}, "two": {"a": 1}}
    assert audit.differences(books) == ["b: one 2 nano-dollars, two 0 nano-dollars"]


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


def test_the_script_is_installed() -> None:
    assert os.access(SCRIPT, os.X_OK)
