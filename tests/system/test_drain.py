"""Signals, to real processes over SQLite: the double outlives them and says how often it was called."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from store.database import Database, parse_url
from store.tables import requests
from tests.streams.commands import Served, ask, served

pytestmark = pytest.mark.chaos

SLOW = {"content": "One. [fake:sleep:120*1]", "id": "a"}
"""Its first call never comes to an end within this test; a second one does at once."""


@pytest.fixture
def double(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "double", "fake-provider", "--port", "0") as made:
        until = time.monotonic() + 30
        while "Listening at " not in made.log.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        yield made.log.read_text().split("Listening at ")[1].split()[0]


def counted(double: str) -> dict[str, Any]:
    return dict(ask(f"{double}/_counts")[1])


def web(folder: Path, double: str, **changes: str) -> Any:
    return served(folder, "web", GENAI_FAKE_URL=double, GENAI_POLL_S="0.2", **changes)


def ready(made: Served) -> str:
    url = made.said("the API listens")["url"]
    made.said("ready")
    return str(url)


def calling(url: str, double: str, **more: Any) -> None:
    """The request is with the provider."""
    assert ask(f"{url}/v1/summarize?wait=0", SLOW | more)[0] == 202
    until = time.monotonic() + 30
    while counted(double)["in_flight"] != 1:
        assert time.monotonic() < until
        time.sleep(0.02)


async def row(folder: Path) -> tuple[Any, ...]:
    database = Database(parse_url(f"sqlite:///{folder / 'genai.db'}"))
    (found,) = await database.read(lambda conn: conn.execute(requests.select()).all())
    await database.aclose()
    return found.state, found.owner, found.ambiguous, found.deaths_calling


async def test_when_the_grace_is_over_a_paid_call_is_cut_off_and_counted_and_nobody_has_died(
    tmp_path: Path, double: str
) -> None:
    folder = tmp_path / "data"
    with web(folder, double, GENAI_DRAIN_S="0.3") as first:
        calling(ready(first), double)
        assert first.stop() == 0
    assert await row(folder) == ("waiting", None, 1, 0)
    assert counted(double)["aborted"] == 1
    with web(folder, double) as second:
        url = ready(second)
        assert ask(f"{url}/v1/summarize?wait=60", SLOW)[1]["status"] == "succeeded"
        assert [call["outcome"] for call in ask(f"{url}/v1/requests/a")[1]["calls"]] == ["wasted", "ok"]


async def test_a_second_signal_leaves_at_once_and_another_process_takes_over(tmp_path: Path, double: str) -> None:
    folder = tmp_path / "data"
    with web(folder, double) as first, web(folder, double) as second:
        calling(ready(first), double)
        url = ready(second)
        first.process.send_signal(signal.SIGTERM)
        first.said("a second signal ends it at once")
        assert first.stop(signal.SIGTERM) == 143
        assert ask(f"{url}/v1/summarize?wait=60", SLOW)[1]["status"] == "succeeded"
        told = ask(f"{url}/v1/requests/a")[1]
    assert ([call["outcome"] for call in told["calls"]], told["attempts"]) == (["wasted", "ok"], 2)
    assert await row(folder) == ("succeeded", None, 1, 1)
    assert counted(double)["started"] == 2


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_up_hands_both_signals_on_to_its_child(tmp_path: Path, double: str, spine_bootstrap: str) -> None:
    folder = tmp_path / "data"
    there = {"GENAI_KAFKA_BROKERS": spine_bootstrap, "GENAI_FAKE_URL": double}
    with served(folder, "up", **there) as first:
        url = first.said("Ready. API", 90)["event"].split()[2]
        calling(url, double)
        (child,) = psutil.Process(first.process.pid).children()
        first.process.send_signal(signal.SIGTERM)
        first.said("stopping")
        time.sleep(0.3)
        assert (child.is_running(), counted(double)["in_flight"]) == (True, 1)  # it drains
        assert first.stop(signal.SIGINT) == 130
        assert not psutil.wait_procs([child], 10)[1]
    assert counted(double)["aborted"] == 1
