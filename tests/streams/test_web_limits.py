"""Requests and tokens a minute of a key: whoever goes by what the headers say is never refused, over several processes."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database import Database, parse_url
from store.ledger import quotas
from streams.lending import InLedger
from streams.web.limits import Minutes
from streams.web.principal import Limits
from streams.web.problems import Problem
from tests.parts.ledgers import migrate


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url


class Time:
    """One clock for the ledger and for every process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 600.0
        monkeypatch.setattr(quotas, "now", lambda _: self.at)

    def __call__(self) -> float:
        return self.at


def some(seed: int) -> Iterator[int]:
    """Which process answers: by no order that a client could know."""
    return ((number * number * seed + number // 3) % 3 for number in itertools.count())


async def _obedient(database: Database, time: Time, limits: Limits, need: int, turns: Iterator[int]) -> tuple[int, int]:
    """Requests taken and refused in five minutes by a client that stops when nothing remains, until the reset."""
    processes = [Minutes(time) for _ in range(3)]
    taken = refused = 0
    while time.at < 900:
        minutes = processes[next(turns)]
        try:
            await minutes.take(InLedger(database), "key-1", limits, need)
            taken += 1
        except Problem:
            refused += 1
        told = minutes.headers("key-1", limits)
        time.at += 0.2
        if any(
            int(told.get(f"x-ratelimit-remaining-{name}", need)) < much
            for name, much in (("requests", 1), ("tokens", need))
        ):
            time.at += int(told[f"x-ratelimit-reset-{'requests' if limits.rpm else 'tokens'}"].removesuffix("s"))
    return taken, refused


@pytest.mark.parametrize(
    ("rpm", "tpm", "need", "seed"),
    [(1, None, 9, 1), (2, None, 9, 2), (30, None, 9, 1), (None, 500, 60, 2), (25, 500, 30, 7)],
)
async def test_who_obeys_the_headers_is_never_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch, rpm: int | None, tpm: int | None, need: int, seed: int
) -> None:
    database, time = Database(parse_url(database_url)), Time(monkeypatch)
    await migrate(database)
    taken, refused = await _obedient(database, time, Limits(rpm, tpm), need, some(seed))
    most = min(5 * (rpm or 10**9), 5 * ((tpm or 10**9) // need))
    assert refused == 0
    assert most // 2 <= taken <= most
    await database.aclose()


async def test_no_more_than_the_limit_over_all_processes_and_who_comes_too_soon_is_told_when(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, time = Database(parse_url(database_url)), Time(monkeypatch)
    await migrate(database)
    processes, told = [Minutes(time) for _ in range(3)], []
    for number in range(60):
        try:
            await processes[number % 3].take(InLedger(database), "key-1", Limits(rpm=20), 1)
            told.append("taken")
        except Problem as problem:
            assert problem.headers is not None
            told.append(f"{problem.status} {problem.headers['Retry-After']}")
    assert (told.count("taken"), set(told)) == (20, {"taken", "429 61"})
    time.at += 61
    await processes[0].take(InLedger(database), "key-1", Limits(rpm=20), 1)
    assert processes[0].headers("key-1", Limits(rpm=20))["x-ratelimit-remaining-requests"] == "19"
    await database.aclose()


async def test_a_refused_minute_is_not_asked_for_again(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database, time = Database(parse_url(database_url)), Time(monkeypatch)
    await migrate(database)
    minutes, asked = Minutes(time), 0
    write = database.write

    async def counted(work):  # type: ignore[no-untyped-def]
        nonlocal asked
        asked += 1
        return await write(work)

    monkeypatch.setattr(database, "write", counted)
    for _ in range(50):
        with contextlib.suppress(Problem):
            await minutes.take(InLedger(database), "key-1", Limits(rpm=5), 1)
    assert asked == 5  # for five requests that were taken; to be refused costs nothing
    await database.aclose()
