"""`ledger stats|prune|export`, on a ledger that a web process has filled, and what is told of an answer that has gone."""

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.streams import webs
from tests.streams.commands import ask, served
from tests.streams.test_requests_cli import lines, run

AT_ONCE = 0.000_000_1
"""Days: whatever has ended is old."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    with served(folder, "web") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        for n in range(3):
            ask(f"{url}/v1/summarize", {"content": f"Text {n}.", "id": f"a{n}", "tenant": "t"})
        ask(f"{url}/v1/complete", {"prompt": "ü \x07", "id": "other"})
        assert web.stop() == 0
    return folder


def test_an_export_has_texts_results_and_calls_oldest_first(filled: Path) -> None:
    found = run(filled, "ledger", "export")
    assert (found.returncode, found.stderr) == (0, "4 requests.\n")
    told = [json.loads(line) for line in found.stdout.splitlines()]
    assert [each["request_id"] for each in told] == ["a0", "a1", "a2", "other"]
    assert [each["value"]["input"] for each in told[:1]] == [{"content": "Text 0."}]
    assert [(each["results"][0]["status"], each["calls"][0]["outcome"]) for each in told] == [("succeeded", "ok")] * 4
    assert run(filled, "ledger", "export", "--tenant", "t").stderr == "3 requests.\n"
    assert run(filled, "ledger", "export", "--to", "2020-01-01").stderr == "0 requests.\n"


def test_an_export_never_writes_over_a_file_and_names_what_cannot_be_written(filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert run(filled, "ledger", "export", "--out", str(file)).returncode == 0
    again, nowhere = (
        run(filled, "ledger", "export", "--out", str(file)),
        run(filled, "ledger", "export", "--out", "/no/such"),
    )
    assert (again.returncode, "is there already" in again.stderr, len(file.read_bytes().splitlines())) == (2, True, 4)
    assert (nowhere.returncode, "Cannot write /no/such" in nowhere.stderr) == (1, True)
    assert run(filled, "ledger", "export", "--from", "yesterday").returncode == 2


def test_stats_name_every_table_and_what_is_old(filled: Path) -> None:
    (told,) = lines(filled, "ledger", "stats", GENAI_KEEP_JOURNAL_DAYS="0")
    counts = {each["table"]: each["rows"] for each in told["tables"]}  # type: ignore[attr-defined]
    assert (counts["requests"], counts["results"], counts["executions"]) == (4, 4, 4)
    assert told["keep_days"] == {"bodies": 90.0, "journal": None, "positions": 30.0}
    shown = run(filled, "ledger", "stats", COLUMNS="40", GENAI_KEEP_JOURNAL_DAYS="0")
    assert "journal: kept for ever" in shown.stdout and "requests" in shown.stdout


def test_pruned_answers_are_told_as_gone_by_every_door(filled: Path) -> None:
    dry = run(filled, "ledger", "prune", "--bodies-days", str(AT_ONCE), "--dry-run")
    assert (dry.returncode, "bodies: 4 rows would go" in dry.stdout) == (0, True)
    assert "bodies: 4 rows are gone" in run(filled, "ledger", "prune", "--bodies-days", str(AT_ONCE)).stdout
    (told,) = lines(filled, "requests", "show", "a0", "-t", "t")
    assert (told["state"], str(told["answer"])[:14], len(told["calls"])) == ("succeeded", "no longer kept", 1)  # type: ignore[arg-type]
    assert "no longer kept" in run(filled, "requests", "show", "a0", "-t", "t").stdout
    asyncio.run(_over_http(filled))


async def _over_http(filled: Path) -> None:
    async with webs.opened(webs.web_settings(filled)) as (front, _), webs.client(front) as http:
        assert [await _told(http, path) for path in ("", "/events")] == [(410, "succeeded")] * 2
        again = await http.post("/v1/summarize", json={"content": "Text 0.", "id": "a0", "tenant": "t"})
        assert (again.status_code, again.json()["error"]["type"]) == (410, "recorded_answer_expired")
        assert len((await http.get("/v1/requests")).json()["items"]) == 4


async def _told(http: httpx.AsyncClient, path: str) -> tuple[int, str]:
    found = await http.get(f"/v1/requests/a0{path}", params={"tenant": "t"})
    return found.status_code, found.json()["request"]["state"]


def test_what_is_kept_for_ever_is_not_touched(filled: Path) -> None:
    found = run(filled, "ledger", "prune", "--bodies-days", "0", "--journal-days", "0", "--positions-days", "0")
    assert found.stdout == "Everything is kept for ever; nothing to do.\n"
    assert run(filled, "ledger", "prune", "--bodies-days", "-1").returncode == 2
