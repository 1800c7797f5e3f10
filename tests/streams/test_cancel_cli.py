"""`genai-spine cancel`, by each way that is there."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from store.ledger.types.arrivals import Accepted, CancelAsk
from streams import cancelling, cli
from streams.errors import SpineError
from tests.streams.commands import Served, ask, environment, served


@dataclass(frozen=True)
class Ended:
    code: int
    out: list[str]
    err: str


def invoke(app: Any, folder: Path, arguments: list[str], **changes: str) -> Ended:
    """In this process: each start of another one takes a second."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        found = CliRunner().invoke(app, arguments, env=environment(folder, **changes))
    if isinstance(found.exception, SpineError):
        return Ended(found.exception.exit_code, found.stdout.splitlines(), str(found.exception))
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Ended(found.exit_code, found.stdout.splitlines(), found.stderr)


def run(folder: Path, *arguments: str, **changes: str) -> Ended:
    return invoke(cli.app, folder, ["cancel", *arguments], **changes)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """It answers nothing by itself: a call takes ten minutes."""
    folder = tmp_path_factory.mktemp("web")
    with served(folder, "web", GENAI_FAKE_LATENCY_S="600", GENAI_FAKE_SLOTS="50", GENAI_DRAIN_S="0") as made:
        url = made.said("the API listens")["url"]
        made.said("ready")
        yield made, url


def runs(url: str, id_: str, **more: Any) -> None:
    assert ask(f"{url}/v1/summarize?wait=0", {"content": "One.", "id": id_, **more})[0] == 202


@pytest.mark.parametrize("via", ["ledger", "http"])
def test_the_ledger_or_the_door_does_it_at_once(web: tuple[Served, str], via: str) -> None:
    made, url = web
    runs(url, f"{via}/1")
    told = run(made.folder, f"{via}/1", "nobody", "--via", via, "--json", *(["--url", url] if via == "http" else []))
    first, second = [json.loads(line) for line in told.out]
    assert (told.code, first["operation"], first["cancel"] in {"stopping", "cancelled"}) == (1, "summarize", True)
    assert (second["cancel"], "Nobody knows a request 'nobody'" in second["why"]) == ("refused", True)
    later = run(made.folder, f"{via}/1", "-o", "summarize", "--via", via, *(["--url", url] if via == "http" else []))
    assert (later.code, later.out[0].startswith(f"summarize {via}/1: ")) == (0, True)


def test_without_a_ledger_the_door_is_asked(web: tuple[Served, str], tmp_path: Path) -> None:
    _, url = web
    found = run(tmp_path, "--run", "r", GENAI_API_PORT=url.rsplit(":", 1)[1])
    assert (found.code, found.out) == (
        0,
        ["run r: cancelled, and whatever of it comes later; 0 of its requests had not ended"],
    )
    assert "it went by HTTP" in found.err


@pytest.mark.fast
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "Name either requests (ID…) or a run"),
        (["a", "--run", "r"], 2, "Name either requests"),
        (["a", "-o", "nonsense"], 2, "There is no operation 'nonsense'; there are classify"),
        (["a\x07"], 2, "is no name"),
        (["x" * 513], 2, "1 to 512 characters"),
        (["a", "--via", "ledger"], 1, "There is no ledger yet"),
        (["a", "--url", "http://127.0.0.1:1"], 1, "Nobody answers at http://127.0.0.1:1"),
        (["a", "--via", "kafka"], 3, "No Kafka broker runs"),
        (["a"], 1, "nothing is reachable"),
        (["a", "--via", "kafka", "GENAI_KAFKA_BROKERS=127.0.0.1:1"], 2, "add --operation"),
        (["a", "-o", "summarize", "--via", "kafka", "GENAI_KAFKA_BROKERS=127.0.0.1:1"], 1, "did not take the cancel"),
    ],
)
def test_errors_say_what_to_do(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    changes = dict(each.split("=") for each in arguments if each.startswith("GENAI_"))
    options = [each for each in arguments if not each.startswith("GENAI_")]
    found = run(tmp_path, *options, **{"GENAI_API_PORT": "1", **changes})
    assert (found.code, found.out) == (code, [])
    assert says in found.err


@pytest.mark.fast
@pytest.mark.parametrize(
    ("state", "what", "words"),
    [
        ("waiting", "cancelled", "summarize a: cancelled"),
        ("leased", "cancelled", "summarize a: cancelled"),
        ("held", "cancelled", "summarize a: cancelled"),
        ("cancelled", "cancelled", "summarize a: cancelled"),
        ("calling", "stopping", "summarize a: its call is being aborted"),
        ("succeeded", "ended", "summarize a: has ended before; nothing was cancelled (succeeded)"),
        ("failed", "ended", "summarize a: has ended before; nothing was cancelled (failed)"),
        ("expired", "ended", "summarize a: has ended before; nothing was cancelled (expired)"),
        (None, "kept", "summarize a: not known yet; the cancel is kept a day and applied when it comes"),
    ],
)
def test_each_state_has_its_outcome_and_its_words(state: str | None, what: str, words: str) -> None:
    told = cancelling.told(CancelAsk("t", "summarize", "a"), Accepted("cancelled", state=state))
    assert (told["cancel"], cancelling.line(told)) == (what, words)
