"""Where to read on while the ledger goes on: what was read before an assignment is accepted and committed after it."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from faust.types import TP
from sqlalchemy import insert, select
from structlog.testing import capture_logs

from store.database import Database, parse_url
from store.ledger import progress
from store.ledger.progress import Progress
from store.tables import numbers
from streams import planner, topics
from tests.parts import ledgers

pytestmark = pytest.mark.fast

PLACE = TP(topics.request_topic("summarize", 0), 0)
GIVEN = 162


def at(offset: int) -> Progress:
    return Progress(offset, -1, 100, 0)


async def begun(
    path: Path, monkeypatch: pytest.MonkeyPatch, committed: int, moves_to: int | None
) -> tuple[Mapping[TP, int], int, list[str]]:
    """A partition that the ledger has read up to 100: where it is read on, the last number given, the errors told.

    `moves_to`: how far the ledger comes while the broker is asked, the first time.
    """
    url = f"sqlite:///{path / 'ledger.db'}"
    database = Database(parse_url(url))
    await ledgers.migrate(database)
    moves = [moves_to] if moves_to is not None else []

    async def asked(_bootstrap: str, _group: str, last: Mapping[TP, int]) -> dict[TP, planner._Facts]:
        assert last == {PLACE: 99} if moves or moves_to is None else {PLACE: moves_to - 1}
        if moves:
            there = at(moves.pop())
            await database.write(lambda conn: progress.save(conn, *PLACE, there))
        return {PLACE: planner._Facts(committed, 0, 1000, None)}

    def laid(conn) -> None:
        progress.save(conn, *PLACE, at(100))
        conn.execute(insert(numbers), {"topic": topics.USAGE, "partition": 0, "last": GIVEN})

    monkeypatch.setattr(planner, "_facts", asked)
    await database.write(laid)
    with capture_logs() as logs:
        starts = await planner.Planner(database, "nobody:1", "g", lambda n: None)({PLACE})
    last = await database.read(lambda conn: conn.execute(select(numbers.c.last)).scalar_one())
    await database.aclose()
    return starts, last, [line["event"] for line in logs if line["log_level"] == "error"]


@pytest.mark.parametrize(
    ("committed", "moves_to"),
    [(100, None), (120, 120), (120, 130)],
)
async def test_a_commit_of_what_was_under_way_is_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: int, moves_to: int | None
):
    """Numbers of usage go on one after another: whoever reads them would take a leap for a restored backup."""
    starts, last, errors = await begun(tmp_path, monkeypatch, committed, moves_to)
    assert (starts, last, errors) == ({PLACE: moves_to or 100}, GIVEN, [])


@pytest.mark.parametrize("moves_to", [None, 110])
async def test_a_group_ahead_of_a_ledger_that_stands_still_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves_to: int | None
):
    starts, last, errors = await begun(tmp_path, monkeypatch, 120, moves_to)
    assert starts == {PLACE: moves_to or 100} and last > GIVEN + 10**6
    assert len(errors) == 1 and errors[0].startswith("the group is ahead of the ledger")


@pytest.mark.parametrize(("committed", "told"), [(None, []), (0, []), (40, [(40, 40)])])
async def test_a_ledger_that_never_saw_what_its_group_has_read_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, committed: int | None, told: list[tuple[int, int]]
):
    """Right after a move to a new one; else what it has lost."""
    database = Database(parse_url(f"sqlite:///{tmp_path / 'ledger.db'}"))
    await ledgers.migrate(database)

    async def asked(*_: object) -> dict[TP, planner._Facts]:
        return {PLACE: planner._Facts(committed, 0, 1000, None)}

    monkeypatch.setattr(planner, "_facts", asked)
    with capture_logs() as logs:
        starts = await planner.Planner(database, "nobody:1", "g", lambda n: None)({PLACE})
    await database.aclose()
    warned = [(line["offset"], line["records"]) for line in logs if line["log_level"] == "warning"]
    assert (starts, warned) == ({PLACE: committed or 0}, told)
