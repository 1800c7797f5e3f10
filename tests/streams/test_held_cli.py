"""`genai-spine held`, on a ledger that a web process has left."""

import json
import time
from pathlib import Path

import pytest

from streams.cli import app
from tests.streams.commands import ask, served
from tests.streams.test_cancel_cli import Ended, invoke

IDS = ["h/1", "h/2", "h/3", "h/4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("held")
    with served(made, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        for id_ in IDS:
            body = {"content": "x [fake:disconnected*1]", "id": id_, "options": {"on_ambiguous": "hold"}}
            ask(f"{url}/v1/summarize?wait=0", body | ({"run_id": "r"} if id_ == "h/4" else {}))
        ask(f"{url}/v1/summarize", {"content": "x", "id": "done"})
        until = time.monotonic() + 30
        while len(ask(f"{url}/v1/requests?state=held")[1]["items"]) < len(IDS):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert web.stop() == 0
    return made


def run(folder: Path, *arguments: str) -> Ended:
    return invoke(app, folder, ["held", *arguments])


def test_they_are_listed_shown_tried_again_and_dropped(folder: Path) -> None:
    assert sorted(json.loads(line)["request_id"] for line in run(folder, "list", "--json").out) == IDS
    assert "held" in "\n".join(run(folder, "show", "h/1").out)
    retried = run(folder, "retry", "h/1", "h/1")
    assert (retried.code, retried.out) == (0, ["summarize h/1: waits for another try"])
    dropped = run(folder, "drop", "h/2", "-o", "summarize", "--json")
    assert [json.loads(line)["state"] for line in dropped.out] == ["failed"]
    assert run(folder, "drop", "--all", "--run", "r").out == ["summarize h/4: dropped: it ends as failed, ambiguous"]
    assert [json.loads(line)["request_id"] for line in run(folder, "list", "--json").out] == ["h/3"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["retry"], 2, "Name the requests (ID…), or retry all"),
        (["drop", "h/3", "--all"], 2, "Name the requests"),
        (["drop", "h/3", "--run", "r"], 2, "Name the requests"),
        (["retry", "done"], 1, "summarize done: it is not held, it is succeeded"),
        (["drop", "done"], 1, "summarize done: it is not held, it is succeeded"),
        (
            ["retry", "nobody"],
            1,
            "? nobody: the tenant 'default' has no such request; if it is another's, add --tenant",
        ),
        (["retry", "nobody", "-o", "summarize"], 1, "summarize nobody: nobody knows it"),
        (["retry", "h/3", "-t", "other"], 1, "the tenant 'other' has no such request"),
        (["list", "--tenant", "\x07"], 2, "is no name"),
        (["show", "nobody"], 1, "No request has the id 'nobody'"),
        (["retry", "--all", "-t", "other"], 0, "0 of 0."),
    ],
)
def test_each_wrong_word_is_told_and_changes_nothing(folder: Path, arguments: list[str], code: int, says: str) -> None:
    found = run(folder, *arguments)
    assert (found.code, says in "\n".join([*found.out, found.err])) == (code, True), found
