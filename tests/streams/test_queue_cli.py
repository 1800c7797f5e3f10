"""`queue` and the place that `requests show` tells, on a ledger in which a web process has left something waiting."""

import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.streams.commands import SCRIPT, ask, environment, served
from tests.streams.test_requests_cli import lines, run


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three answered; then four that wait, put back as if nobody had begun them."""
    folder = tmp_path_factory.mktemp("waiting")
    with served(folder, "web", GENAI_FAKE_LATENCY_S="0.05") as web:
        url = web.said("the API listens")["url"]
        web.said("ready")
        for n in range(7):
            ask(
                f"{url}/v1/summarize?lane={'batch' if n == 6 else 'normal'}",
                {"content": "One.", "id": f"a{n}", "tenant": "t"},
            )
        assert web.stop() == 0
    with sqlite3.connect(folder / "genai.db") as ledger:
        ledger.execute("DELETE FROM results WHERE request_pk > 3")
        ledger.execute("DELETE FROM executions WHERE request_pk > 3")
        ledger.execute("UPDATE requests SET state = 'waiting', completed_at = NULL, started_at = NULL WHERE pk > 3")
    return folder


def test_lanes_pools_and_why_kafka_says_nothing(waiting: Path) -> None:
    (told,) = lines(waiting, "queue")
    counts = [(lane["lane"], lane["waiting"], lane["in_kafka"]) for lane in told["lanes"]]  # type: ignore[attr-defined]
    assert counts == [("realtime", 0, None), ("normal", 3, None), ("batch", 1, None)]
    for columns in ("40", "140"):
        shown = run(waiting, "queue", COLUMNS=columns)
        assert (shown.returncode, shown.stderr) == (0, "")
        for word in ("normal", "fake", "all done", "In Kafka: not known"):
            assert word in " ".join(shown.stdout.split()), columns


def test_one_lane_and_one_tenant(waiting: Path) -> None:
    (told,) = lines(waiting, "queue", "--lane", "batch", "-t", "t")
    assert [(lane["lane"], lane["waiting"]) for lane in told["lanes"]] == [("batch", 1)]  # type: ignore[attr-defined]


def test_the_place_of_one_request(waiting: Path) -> None:
    (told,) = lines(waiting, "queue", "a4", "-t", "t")
    assert (told["position"], told["state"]) == (2, "waiting")
    assert run(waiting, "queue", "a4", "-t", "t").stdout.startswith("number 2, answered in about ")
    assert "number 2, answered in about " in run(waiting, "requests", "show", "a4", "-t", "t").stdout
    (shown,) = lines(waiting, "requests", "show", "a4", "-t", "t")
    assert shown["queue"] == {name: told[name] for name in ("position", "eta_s", "why")}
    assert "queue" not in lines(waiting, "requests", "show", "a0", "-t", "t")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--lane", "fast"), 2, "choose one of realtime, normal, batch"),
        (("-t", "a\x00"), 2, "control character"),
        (("-o", "summarize"), 2, "name the ID before it"),
        (("a0", "-t", "t"), 1, "has ended (succeeded): it waits for nothing and has no ETA"),
        (("nobody",), 1, "No request has the id 'nobody'"),
    ],
)
def test_bad_questions_are_told_clearly(waiting: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    found = run(waiting, "queue", *arguments)
    assert (found.returncode, says in found.stderr) == (code, True), found.stderr


def test_watch_goes_on_until_ctrl_c(waiting: Path) -> None:
    command = [SCRIPT, "queue", "--watch", "--every", "0.1", "--json"]
    with subprocess.Popen(
        command, env=environment(waiting), cwd=waiting, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        first = [watching.stdout.readline() for _ in range(3)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0
    assert all(line.startswith('{"at"') for line in first)
