"""The command line on a real broker: a worker in a process of its own, and the commands around it."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from streams.broker import control
from tests.parts.kafka import make_settings
from tests.streams.commands import Served, ask, run, served

pytestmark = pytest.mark.kafka

LINES = "\n".join(
    orjson.dumps(line).decode()
    for line in (
        {"operation": "summarize", "id": "s", "input": {"content": "One. Two."}, "tenant": "t1"},
        {"operation": "classify", "id": "c", "content": "One.", "categories": ["x", "y"]},
        {"operation": "embed", "content": "One."},
        {"operation": "summarize", "id": "dead", "input": {"content": "x [fake:refused*1]"}},
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a broker of its own, since the `genai.` topics cannot be shared."""
    made = tmp_path_factory.mktemp("cli")
    settings = make_settings(data_dir=made, kafka_port=0, kafka_brokers="")
    control.start(settings)
    yield made
    control.stop(settings, timeout_s=5)


@pytest.fixture(scope="module")
def worker(folder: Path) -> Iterator[Served]:
    with served(folder, "worker") as made:
        made.said("ready")
        yield made


@pytest.fixture(scope="module")
def results(folder: Path, worker: Served) -> dict[str, dict[str, object]]:
    """What `submit --wait` said, by id."""
    found = run(folder, "submit", "-", "--wait", "--json", "--timeout", "60", given=LINES)
    assert found.returncode == 1, found.stderr  # one of them fails
    return {result["id"]: result for result in map(orjson.loads, found.stdout.splitlines())}


def test_submit_waits_for_each_result_by_its_identity(results: dict[str, dict[str, object]]) -> None:
    assert {id_: result["status"] for id_, result in results.items() if not id_.startswith("genai.")} == {
        "s": "succeeded",
        "c": "succeeded",
        "dead": "failed",
    }
    assert [result["operation"] for id_, result in results.items() if id_.startswith("genai.requests.embed/")] == [
        "embed"
    ]


def test_results_shows_the_latest(folder: Path, results: dict[str, dict[str, object]]) -> None:
    shown = run(folder, "results", "-n", "100", "--json").stdout.splitlines()
    assert {orjson.loads(line)["id"] for line in shown} >= set(results)


def test_all_four_books_agree(folder: Path, results: dict[str, dict[str, object]]) -> None:
    for _ in range(20):  # the table is folded a moment later
        found = run(folder, "costs", "--check", "--json")
        if found.returncode == 0:
            break
        time.sleep(0.5)
    told = orjson.loads(found.stdout)
    assert (told["ok"], set(told["sums"])) == (True, {"daily_costs", "journal", "usage", "table"})
    assert told["sums"]["daily_costs"] == orjson.loads(run(folder, "costs", "--json").stdout)["totals"]["cost_usd"]


def test_a_dead_letter_is_shown_and_replayed_under_its_identity(
    folder: Path, results: dict[str, dict[str, object]]
) -> None:
    (letter,) = [orjson.loads(line) for line in run(folder, "dlq", "list", "--json").stdout.splitlines()]
    assert (letter["id"], letter["error_type"], orjson.loads(letter["value"])["id"]) == ("dead", "refused", "dead")
    assert "genai-error-type: refused" in run(folder, "dlq", "show", letter["place"]).stdout
    assert run(folder, "dlq", "replay", letter["place"]).returncode == 0
    until = time.monotonic() + 30
    while time.monotonic() < until:
        shown = map(orjson.loads, run(folder, "results", "-n", "100", "--json").stdout.splitlines())
        again = [result for result in shown if result["id"] == "dead" and result["generation"] == 2]
        if again:
            break
    assert again[0]["status"] == "succeeded"


def test_the_worker_shows_lag_and_age_by_lane(worker: Served, results: dict[str, dict[str, object]]) -> None:
    import urllib.request

    url = worker.said("metrics and state")["url"]
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    assert 'genai_lag_records{lane="normal"} 0.0' in text
    assert 'genai_oldest_waiting_seconds{lane="normal"} 0.0' in text
    state, told = ask(f"{url}/ready")
    assert (state, set(told["parts"])) == (200, {"database", "provider", "broker", "intake"})


def test_sigterm_drains_the_worker_publishes_and_ends_with_zero(folder: Path, worker: Served) -> None:
    slow = '{"operation": "summarize", "id": "slow", "content": "x [fake:sleep:3]"}'
    assert run(folder, "submit", "-", given=slow).returncode == 0
    time.sleep(1.5)
    assert worker.stop(signal.SIGTERM) == 0
    shown = map(orjson.loads, run(folder, "results", "-n", "100", "--json").stdout.splitlines())
    assert [result["status"] for result in shown if result["id"] == "slow"] == ["succeeded"]


def test_an_idle_worker_notices_that_its_broker_has_gone_and_comes_back(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path, kafka_port=0, kafka_brokers="")
    control.start(settings)
    try:
        with served(tmp_path, "worker") as one:
            url = one.said("metrics and state")["url"]
            one.said("ready")
            for step in (lambda: control.stop(settings, timeout_s=5), lambda: control.start(settings)):
                before = ask(f"{url}/ready")[0]
                step()
                until = time.monotonic() + 60
                while ask(f"{url}/ready")[0] == before and time.monotonic() < until:
                    time.sleep(0.2)
            line = '{"operation": "embed", "content": "One."}'
            assert run(tmp_path, "submit", "-", "--wait", "--timeout", "60", given=line).returncode == 0
            assert one.stop() == 0
    finally:
        control.stop(settings, timeout_s=5)
