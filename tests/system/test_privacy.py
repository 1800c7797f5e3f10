"""Everything that a full run writes, searched for what must not stand there."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from streams.broker import control
from tests.parts.kafka import make_settings
from tests.streams.commands import Served, ask, run, served

pytestmark = pytest.mark.kafka

CONTENT = "marker-of-a-users-text"
KEYS = ("sk-marker-our-own", "sk-marker-ollama", "sk-marker-openai", "sk-marker-anthropic")
ENVIRONMENT = {
    "GENAI_API_KEY": KEYS[0],
    "GENAI_OLLAMA_URL": f"http://ada:{KEYS[1]}@127.0.0.1:1",
    "GENAI_OPENAI_API_KEY": KEYS[2],
    "GENAI_ANTHROPIC_API_KEY": KEYS[3],
}
HOSTILE = "[red]not red[/red] \x1b[2J\u202egnp.exe"
NAME = "[red]not red[/red]\x9b2J\u202egnp.exe"
"""A name may not hold the older control characters; these it may."""
OBEYED = {"\x1b", "\u202e", "\x00", "\x9b"}


def lines() -> str:
    """What succeeds, what fails, what is no request, what retries, what breaks an operation, and hostile names."""
    asked = [
        {"operation": "summarize", "id": "good", "input": {"content": f"{CONTENT} sold 12 pumps."}},
        {"operation": "extract", "id": "extract", "content": f"{CONTENT} met Ada.", "entity_types": ["person"]},
        {"operation": "classify", "id": "class", "content": CONTENT, "categories": [CONTENT, "other"]},
        {"operation": "embed", "id": "embed", "texts": [CONTENT]},
        {"operation": "complete", "id": "complete", "prompt": f"Say {CONTENT}"},
        {"operation": "summarize", "id": "dead", "input": {"content": f"{CONTENT} [fake:refused*1]"}},
        {"operation": "summarize", "id": "again", "input": {"content": f"{CONTENT} [fake:overloaded*1]"}},
        {"operation": "summarize", "id": "invalid", "input": {"content": [CONTENT]}},
        {"operation": "summarize", "id": NAME, "tenant": NAME, "content": f"{HOSTILE} [fake:refused*1]"},
        {"operation": "complete", "id": "echo", "tenant": NAME, "prompt": HOSTILE},
        {"operation": "complete", "id": "nul", "prompt": f"{CONTENT} \x00 and a zero byte"},
    ]
    return "\n".join(orjson.dumps(one).decode() for one in asked)


@dataclass
class Run:
    """A broker, a worker at debug, a worker's door, web at info, all with keys."""

    folder: Path
    worker: Served
    web: Served

    def url(self, of: Served, words: str) -> str:
        return str(of.said(words)["url"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("privacy")
    settings = make_settings(data_dir=folder, kafka_port=0, kafka_brokers="")
    control.start(settings)
    try:
        with ExitStack() as stack:
            worker = stack.enter_context(served(folder, "worker", GENAI_LOG_LEVEL="debug", **ENVIRONMENT))
            worker.said("ready")
            web = stack.enter_context(served(folder, "web", GENAI_LOG_LEVEL="info", **ENVIRONMENT))
            web.said("ready")
            sent = run(folder, "submit", "-", "--wait", "--timeout", "50", given=lines(), **ENVIRONMENT)
            (folder / "submit.out").write_text(sent.stdout + sent.stderr)
            malformed(folder)
            yield Run(folder, worker, web)
    finally:
        control.stop(settings, timeout_s=5)


def malformed(folder: Path) -> None:
    """Bytes that are no request at all, which end as dead letters."""
    record = f'{{"input": {{"content": "{CONTENT}" oops'
    options = ("--topic", "genai.requests.summarize")
    assert run(folder, "kafka", "console-producer", *options, given=record, **ENVIRONMENT).returncode == 0
    until = time.monotonic() + 30
    while "invalid_request" not in run(folder, "dlq", "list", **ENVIRONMENT).stdout and time.monotonic() < until:
        time.sleep(0.3)


def fetched(url: str) -> str:
    request = urllib.request.Request(url, headers={"x-api-key": KEYS[0]})
    with urllib.request.urlopen(request, timeout=30) as reply:
        return str(reply.read().decode())


def written(whole: Run) -> dict[str, str]:
    """By name: logs, and what the doors and commands say of a run that must not quote what was in it."""
    found = {path.name: path.read_text(errors="replace") for path in whole.folder.glob("*.log")}
    found |= {path.name: path.read_text(errors="replace") for path in (whole.folder / "kafka").glob("broker.*")}
    door, api = whole.url(whole.worker, "metrics and state"), whole.url(whole.web, "the API listens")
    for name, url in (("worker", door), ("web", api)):
        found |= {f"{name}{path}": fetched(f"{url}{path}") for path in ("/ready", "/metrics", "/health")}
    for line in (["doctor", "--json"], ["doctor"], ["costs"], ["topics", "list"], ["broker", "status", "--json"]):
        said = run(whole.folder, *line, **ENVIRONMENT)
        found[" ".join(line)] = said.stdout + said.stderr
    return found


@pytest.fixture(scope="module")
def texts(whole: Run) -> dict[str, str]:
    return written(whole)


def test_no_log_no_metric_and_no_state_quotes_what_a_user_sent(texts: dict[str, str]) -> None:
    assert {name for name, text in texts.items() if CONTENT in text} == set()
    assert [text for text in texts.values() if "request ended" in text]  # the logs were there to be searched


def test_no_key_stands_anywhere(whole: Run, texts: dict[str, str]) -> None:
    """Logs, commands, the broker's folder, the ledger, and the arguments of the processes that run."""
    files = {
        path.relative_to(whole.folder).as_posix()
        for path in whole.folder.rglob("*")
        if path.is_file() and any(key.encode() in path.read_bytes() for key in KEYS)
    }
    arguments = "".join(map(str, (whole.worker.process.args, whole.web.process.args)))
    said = {name for name, text in {**texts, "arguments": arguments}.items() if any(key in text for key in KEYS)}
    assert (files, said) == (set(), set())


def test_lines_about_a_request_say_whose_it_is(whole: Run) -> None:
    ended = {event["request_id"]: event for event in whole.worker.events() if event["event"] == "request ended"}
    good = ended["good"]
    assert {name: good[name] for name in ("tenant", "operation", "lane", "status")} == {
        "tenant": "default",
        "operation": "summarize",
        "lane": "normal",
        "status": "succeeded",
    }
    assert good["worker"] == whole.worker.said("ready")["worker"]


def test_views_of_dead_letters_mask_what_the_setting_names(whole: Run) -> None:
    environment = ENVIRONMENT | {"GENAI_REDACT": f"/{CONTENT}/"}
    places = [line.split()[0] for line in run(whole.folder, "dlq", "list", **environment).stdout.splitlines()]
    views = [["list"], ["list", "--json"], *(["show", place] for place in places)]
    views += [["show", place, "--json"] for place in places]
    shown = [run(whole.folder, "dlq", *view, **environment).stdout for view in views]
    assert (len(places) >= 3, CONTENT in "".join(shown), "***" in "".join(shown)) == (True, False, True)
    raw = [run(whole.folder, "dlq", "show", place, "--raw", **ENVIRONMENT).stdout for place in places]
    assert any(CONTENT in record for record in raw)


@pytest.mark.parametrize("line", [["results", "-n", "50"], ["dlq", "list"], ["costs"]])
def test_a_terminal_obeys_nothing_that_a_producer_wrote(whole: Run, line: list[str]) -> None:
    shown = run(whole.folder, *line, COLUMNS="300", **ENVIRONMENT).stdout
    assert (OBEYED & set(shown), "[red]not red[/red]" in shown or line == ["dlq", "list"]) == (set(), True)


def test_what_submit_printed_is_text_too(whole: Run) -> None:
    shown = (whole.folder / "submit.out").read_text()
    assert (OBEYED & set(shown), "[red]not red[/red]" in shown) == (set(), True)


def test_the_ready_page_is_open_to_the_key_only(whole: Run) -> None:
    state, told = ask(f"{whole.url(whole.web, 'the API listens')}/v1/summarize", {"content": CONTENT})
    assert (state, CONTENT in str(told)) == (401, False)
