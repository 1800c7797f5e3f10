"""Evidence out of the ledger's tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from store.database import Database, parse_url
from store.ledger import queries
from store.ledger.books import utc_day
from store.tables import executions, intake_progress, outbox, requests, workers
from tests.chaos.oracle import Call

UNFINISHED = ("waiting", "leased", "calling", "held")


@dataclass(frozen=True)
class Tables:
    """What SQL says."""

    journal: Sequence[Call]
    days: Mapping[str, int]
    unfinished: Sequence[str]
    unpublished: int
    states: Mapping[str, int]


async def tables(url: str) -> Tables:
    database = Database(parse_url(url))
    try:
        return await database.read(_tables)
    finally:
        await database.aclose()


def _tables(conn: Connection) -> Tables:
    r = requests.c
    open_rows = conn.execute(select(r.id, r.state, r.owner).where(r.state.in_(UNFINISHED))).all()
    return Tables(
        journal=_journal(conn),
        days={
            "|".join((row.date, row.provider, row.model, row.tenant)): int(row.cost_nano)
            for row in queries.days(conn, "0000-00-00", "9999-99-99")
        },
        unfinished=[f"{row.id} ({row.state}, owner {row.owner})" for row in open_rows],
        unpublished=int(conn.execute(select(func.count()).select_from(outbox)).scalar_one()),
        states={state: int(count) for state, count in conn.execute(select(r.state, func.count()).group_by(r.state))},
    )


async def has_joined(database: Database, pid: int) -> bool:
    """Whether this process is among the workers."""
    wanted = select(workers.c.id).where(workers.c.pid == pid)
    return await database.read(lambda conn: conn.execute(wanted).first() is not None)


async def under_way(database: Database, pid: int) -> int | None:
    """Paid calls that are open in the name of a process which has just died; None: somebody has taken over already."""

    def look(conn: Connection) -> int | None:
        worker = conn.execute(select(workers.c.id).where(workers.c.pid == pid)).scalar_one_or_none()
        if worker is None:
            return None
        e = executions.c
        wanted = select(func.count()).select_from(executions.join(requests, requests.c.pk == e.request_pk))
        return int(conn.execute(wanted.where(e.outcome.is_(None), requests.c.owner == worker)).scalar_one())

    return await database.read(look)


async def backlog(database: Database, sent: int) -> int:
    """How many of `sent` records were not taken in yet, and how many rows have not ended."""
    rows = select(func.count()).select_from(requests).where(requests.c.state.in_(UNFINISHED))
    taken = select(func.coalesce(func.sum(intake_progress.c.next_offset), 0))
    return await database.read(
        lambda conn: sent - int(conn.execute(taken).scalar_one()) + int(conn.execute(rows).scalar_one())
    )


def _journal(conn: Connection) -> list[Call]:
    e = executions.c
    wanted = select(executions, requests.c.id.label("request_id"), utc_day(conn, e.closed_at).label("day"))
    rows = conn.execute(wanted.join_from(executions, requests, requests.c.pk == e.request_pk)).all()
    return [
        Call(
            id=row.id,
            request=row.request_id,
            generation=row.generation,
            outcome=row.outcome,
            error_type=row.error_type,
            book="|".join((row.day or "", row.provider, row.model, row.tenant)),
            nano=row.cost_nano or 0,
            opened_at=row.opened_at,
            closed_at=row.closed_at,
        )
        for row in rows
    ]
