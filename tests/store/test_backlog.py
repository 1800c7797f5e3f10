"""What an estimate is made of: true, and bounded however many requests there are."""

import re
from typing import Any

from sqlalchemy import Connection, text

from schemas.result import Status
from store.database import Database
from store.ledger import backlog, queries
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.step import take_steps
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.steps import Step
from tests.store import flood
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened
from tests.store.plans import plans

MANY = 100_000


async def _claimed(database: Database, slots: int) -> list[Claimed]:
    want = [Want(POOL, slots, (0, 0, 0))]
    return list((await database.write(lambda conn: claim(conn, ROUTES, "w", want))).rows)


async def _ended(database: Database, row: Claimed) -> None:
    for step in (
        Step(row, opens=call(row)),
        Step(row, (answered(call(row)),), then=ending(Status.SUCCEEDED)),
    ):
        await database.write(lambda conn, step=step: take_steps(conn, ROUTES, "w", [step]))


async def test_a_look_has_what_stands_what_ended_and_what_came(database_url: str) -> None:
    database = await opened(database_url, "w", slots=1)
    first = [arrived(asked("a", lane=0), 0)]
    await database.write(lambda conn: accept(conn, ROUTES, first))
    (row,) = await _claimed(database, 1)
    await _ended(database, row)
    later = [arrived(asked(id_, lane=lane, tenant=tenant), n) for n, (id_, lane, tenant) in enumerate(LATER, 1)]
    await database.write(lambda conn: accept(conn, ROUTES, later))
    found = await database.read(lambda conn: backlog.look(conn, 900.0))
    stands = {(each.lane, each.tenant, each.state): each.count for each in found.standing}
    assert stands == {(1, "t", "waiting"): 2, (1, "u", "waiting"): 1, (2, "u", "waiting"): 1}
    (done,) = found.done
    assert (done.pool, done.lane, done.accepted_at <= done.opened_at <= done.closed_at) == (POOL, 0, True)
    assert done.work_s == done.closed_at - done.opened_at
    assert (len(found.arrived), found.slots[POOL][0]) == (5, 1)
    await database.aclose()


async def test_what_waits_for_a_moment_or_for_other_rows_is_counted_once(database_url: str) -> None:
    database = await opened(database_url, "w")
    batch = [arrived(asked(id_, lane=lane, tenant=tenant), n) for n, (id_, lane, tenant) in enumerate(LATER)]
    await database.write(lambda conn: accept(conn, ROUTES, batch))
    for change in (
        "not_before = 2e9 WHERE id = 'b'",
        "behind = 1 WHERE id = 'c'",
        "not_before = 2e9, behind = 1 WHERE id = 'd'",
    ):
        await database.write(lambda conn, change=change: conn.execute(text(f"UPDATE requests SET {change}")))
    found = await database.read(lambda conn: backlog.look(conn, 900.0))
    stands = {(each.lane, each.tenant, each.delayed): each.count for each in found.standing}
    assert stands == {(1, "t", True): 2, (1, "u", False): 1, (2, "u", False): 1}
    assert (await database.read(queries.waiting_by_pool)) == {POOL: 4}
    await database.aclose()


LATER = [("b", 1, "t"), ("c", 1, "u"), ("d", 1, "t"), ("e", 2, "u")]


async def test_before_a_row_stand_those_of_its_own_tenant_and_lane(database_url: str) -> None:
    database = await opened(database_url, "w")
    batch = [arrived(asked(id_, lane=lane, tenant=tenant), n) for n, (id_, lane, tenant) in enumerate(LATER)]
    await database.write(lambda conn: accept(conn, ROUTES, batch))
    assert await database.read(_aheads) == {"b": 0, "c": 0, "d": 1, "e": 0}
    assert len(await _claimed(database, 1)) >= 1  # a leased one still stands before it
    assert (await database.read(_aheads))["d"] == 1
    await database.aclose()


def _aheads(conn: Connection) -> dict[str, int]:
    found = conn.execute(text("SELECT * FROM requests")).all()
    return {row.id: backlog.ahead(conn, row) for row in found}


async def test_a_name_is_known_or_not(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(asked("a"), 0)]))
    found = [
        await database.read(lambda conn, name=name: backlog.is_known(conn, *name))
        for name in (("t", "summarize", "a"), ("t", "summarize", "b"), ("u", "summarize", "a"))
    ]
    assert found == [True, False, False]
    await database.aclose()


async def test_a_look_reads_indexes_only(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(lambda conn: flood.requests(conn, MANY))
    await database.write(_executions)
    await database.write(lambda conn: conn.execute(text("ANALYZE")))

    def ask(conn: Connection) -> dict[str, str]:
        if not database.is_sqlite:
            conn.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))  # as it is after the fifth time
        row: Any = conn.execute(text(f"SELECT * FROM requests WHERE pk = {MANY // 2}")).one()

        def work() -> None:
            backlog.look(conn, 900.0)
            calls, _ = backlog._calls(conn, flood.FIRST)
            assert len(calls) == backlog.SAMPLE
            backlog._done(conn, calls)
            assert len(backlog._arrived(conn, flood.FIRST)) == backlog.SCAN
            backlog.ahead(conn, row)
            backlog.begun(conn, row)
            backlog.is_known(conn, "t", "summarize", "x")

        return plans(conn, work)

    found = await database.read(ask)
    whole = re.compile(r"Seq Scan on (requests|executions)|SCAN (requests|executions)(?! USING)")
    assert {statement: plan for statement, plan in found.items() if whole.search(plan)} == {}
    await database.aclose()


async def test_what_waits_is_counted_in_indexes_of_its_own(database_url: str) -> None:
    """On SQLite nobody has analysed the tables, and all rows of a state are taken for ten."""
    database = await opened(database_url)
    await database.write(lambda conn: flood.requests(conn, MANY))
    if not database.is_sqlite:
        await database.write(lambda conn: conn.execute(text("ANALYZE")))
    for count in (backlog._standing, queries.waiting_by_pool):
        found = await database.read(lambda conn, count=count: plans(conn, lambda: count(conn)))
        waiting = [plan for statement, plan in found.items() if "'waiting'" in statement]
        named = [re.findall(r"requests_\w+", plan) for plan in waiting]
        assert named == [["requests_claimable"], ["requests_behind"], ["requests_delayed"]], found
    await database.aclose()


def test_a_state_that_is_counted_is_a_word_of_its_statement() -> None:
    """For a bound one PostgreSQL's generic plan reads the table, where few states share a million rows."""
    counted = [(state, str(statement)) for each in backlog._STANDING.values() for state, statement, _ in each]
    assert [(state, words) for state, words in counted if f"state = '{state}'" not in words.replace(", 0.9)", "")] == []


def _executions(conn: Connection) -> None:
    """One closed call for each request that has ended."""
    conn.execute(
        text(
            "INSERT INTO executions (id, request_pk, generation, number, attempt, fence, tenant, operation, kind, provider,"
            " node, model, input_hash, estimate_tokens, estimate_output, outcome, opened_at, closed_at)"
            " SELECT CAST(pk AS TEXT), pk, 1, 1, 1, 1, tenant, operation, 'chat', provider, 'n', model, payload_hash, 1, 1,"
            " 'ok', accepted_at, accepted_at + 1 FROM requests WHERE state = 'succeeded'"
        )
    )
