"""`genai-spine runs`, at a web process."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.cli import app
from tests.streams.commands import served
from tests.streams.test_cancel_cli import Ended, invoke


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("runs")
    with served(folder, "web", GENAI_POLL_S="0.1") as made:
        url = made.said("the API listens")["url"]
        made.said("ready")
        (folder / "texts.jsonl").write_text(
            "".join(f'"Text {n}."\n' for n in range(30)) + '{"content": "x [fake:rejected*1]"}\n'
        )
        yield folder, url


def run(web: tuple[Path, str], *arguments: str) -> Ended:
    return invoke(app, web[0], ["runs", *arguments, "--url", web[1]])


def test_a_file_is_submitted_waited_for_collected_and_retried(web: tuple[Path, str]) -> None:
    told = run(web, "submit", "batch_summarize", "texts.jsonl", "--wait", "--json", "--idempotency-key", "k")
    found = json.loads(told.out[0])
    again = json.loads(run(web, "submit", "batch_summarize", "texts.jsonl", "--json", "--idempotency-key", "k").out[0])
    lines = [json.loads(line) for line in run(web, "results", found["run_id"]).out]
    assert (told.code, found["status"], again["run_id"], len(lines)) == (1, "partially_failed", found["run_id"], 31)
    assert lines[30]["status"] == "failed"
    assert run(web, "retry", found["run_id"]).out == [f"1 items of {found['run_id']} run again."]
    assert run(web, "wait", found["run_id"]).code == 0
    assert "succeeded  31 of 31" in run(web, "show", found["run_id"]).out[0]
    assert found["run_id"] in run(web, "list", "--status", "succeeded").out[0]


def test_params_without_a_file_are_a_task_or_a_batch(web: tuple[Path, str]) -> None:
    task = run(web, "submit", "summarize", "--params", '{"text": "One."}', "--wait", "--json")
    batch = run(web, "submit", "batch_embed", "--params", '{"texts": ["a", "b"]}', "--wait", "--json")
    assert (json.loads(task.out[0])["kind"], len(json.loads(batch.out[0])["result"]["embeddings"])) == ("task", 2)


def test_params_beside_a_file_hold_for_each_of_its_lines(web: tuple[Path, str]) -> None:
    (web[0] / "two.jsonl").write_text('"The ferry."\n{"content": "A field.", "categories": ["x", "y"]}\n')
    told = run(
        web, "submit", "batch_classify", "two.jsonl", "--params", '{"categories": ["sea", "land"]}', "--wait", "--json"
    )
    found = json.loads(told.out[0])
    assert (told.code, found["status"], found["progress"]["succeeded"]) == (0, "succeeded", 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit", "nope", "--params", "{}"], "There is no task 'nope'"),
        (["submit", "summarize", "--params", "{"], "--params is not JSON"),
        (["submit", "batch_summarize", "texts.jsonl", "--params", "{"], "--params is not JSON"),
        (["submit", "batch_summarize", "missing.jsonl"], "Cannot read missing.jsonl"),
        (["show", "nope"], "There is no run 'nope'"),
        (["results", "nope"], "There is no run 'nope'"),
        (["cancel", "nope"], "nope"),
        (["list", "--status", "nope"], "status='nope' is not known"),
    ],
)
def test_bad_input_is_told(web: tuple[Path, str], arguments: list[str], words: str) -> None:
    found = run(web, *arguments)
    assert words in f"{found.err} {found.out}"
