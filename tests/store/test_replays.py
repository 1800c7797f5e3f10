"""Runs of a replay: each batch is whole or was not, and nothing is asked twice."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, delete, func, select, update

from schemas.request import REPLAYS
from schemas.result import Status
from store import rows
from store.database import Database
from store.ledger import chosen, recorded, replays
from store.ledger.accept import accept
from store.ledger.chosen import Chosen, Range
from store.ledger.claim import claim
from store.ledger.replays import Item, Run
from store.ledger.step import take_steps
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.claims import Want
from store.ledger.types.records import Routes
from store.ledger.types.steps import Step
from store.tables import bodies, daily_costs, outbox, requests, results
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened, partition, refusal

ASIDE = Routes("genai.results", "genai.usage", "genai.dlq", partition, replays="genai.replays")
RUN = f"{REPLAYS}r"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = await opened(database_url, "w")
    yield made
    await made.aclose()


def finish(conn: Connection, routes: Routes = ROUTES, cost: int = 17, **how: Any) -> int:
    """Everything that waits is run; how many that were."""
    claims = claim(conn, routes, "w", [Want(POOL, 5, (0, 0, 0))])
    for row, slot in zip(claims.rows, claims.slots, strict=False):
        opens = call(row)
        take_steps(conn, routes, "w", [Step(row, opens=opens)])
        take_steps(conn, routes, "w", [Step(row, (answered(opens, cost),), then=ending(**how), free=slot)])
    return len(claims.rows)


def ask(conn: Connection, *names: str, **more: Any) -> list[int | None]:
    arrivals = [arrived(asked(name, **more), n) for n, name in enumerate(names)]
    return [found.pk for found in accept(conn, ROUTES, arrivals)]


async def finished(database: Database, *names: str, **more: Any) -> list[int | None]:
    pks = await database.write(lambda conn: ask(conn, *names, **more))
    await database.write(finish)
    await database.write(lambda conn: conn.execute(delete(outbox)))
    return pks


def published(conn: Connection) -> list[Any]:
    return list(conn.execute(select(outbox).order_by(outbox.c.pk)))


async def test_recorded_answers_and_events_go_out_with_the_totals_of_their_days(database: Database) -> None:
    pks = await finished(database, "a", "b")

    def publish(conn: Connection) -> Any:
        done = recorded.publish(conn, ROUTES, [pk for pk in pks if pk], 2)
        return done, published(conn), conn.execute(select(daily_costs)).one()

    done, out, day = await database.write(publish)
    told = [orjson.loads(row.value) for row in out if row.topic == "genai.results"]
    assert [(each["id"], each["replayed"], each["usage"]["calls"]) for each in told] == [("a", True, 0), ("b", True, 0)]
    first, second = [row for row in out if row.topic == "genai.usage"]
    headers = dict(rows.unpack_headers(first.headers))
    assert orjson.loads(headers["genai-totals"]) == {
        "calls": day.calls,
        "input_tokens": day.input_tokens,
        "output_tokens": day.output_tokens,
        "cached_tokens": 0,
        "cost_usd": "0.000000034",
        "unpriced_calls": 0,
    }
    assert (first.number, second.number, dict(rows.unpack_headers(second.headers))) == (
        2,
        None,
        {"genai-replayed": b"true"},
    )
    assert (done.results, done.events, done.unkept) == (2, 2, 0)


async def test_an_answer_that_is_not_kept_is_counted_and_a_lost_partition_goes_by_key(database: Database) -> None:
    pks = await finished(database, "a", "b")
    listed = [pk for pk in pks if pk]

    def prune(conn: Connection) -> Any:
        conn.execute(delete(results).where(results.c.request_pk == listed[0]))
        conn.execute(delete(bodies))
        conn.execute(update(requests).values(partition=7))
        done = recorded.publish(conn, ROUTES, listed, 2)
        return done, [row for row in published(conn) if row.topic == "genai.results"]

    done, (only,) = await database.write(prune)
    assert (done.results, done.events, done.unkept) == (1, 2, 1)
    assert (only.partition, only.headers) == (partition("", b"b"), b"[]")


async def test_a_batch_is_cut_where_somebody_would_wait_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    pks = await finished(database, "a", "b", "c")
    listed = [pk for pk in pks if pk]
    monkeypatch.setattr(recorded, "MOST_ROWS", 4)  # an answer and an event each
    assert await database.read(lambda conn: recorded.cut(conn, listed)) == listed[:2]
    monkeypatch.setattr(recorded, "MOST_BYTES", 1)
    assert await database.read(lambda conn: recorded.cut(conn, listed)) == listed[:1]


async def test_a_run_is_kept_and_gone_on_with(database: Database) -> None:
    run = Run(RUN, "recorded", Chosen(states=("failed",), pks=(1, 2)), {"model": None})

    def walk(conn: Connection) -> Any:
        replays.make(conn, run)
        replays.advance(conn, RUN, 5, 3)
        replays.advance(conn, RUN, 4, 3)  # another process that was behind
        halfway = replays.load(conn, RUN)
        replays.end(conn, RUN)
        return halfway, replays.load(conn, RUN), replays.load(conn, "replay:none"), replays.latest(conn, 5)

    halfway, ended, none, listed = await database.write(walk)
    assert (halfway.chosen, halfway.cursor, halfway.sent, halfway.ended_at) == (run.chosen, 5, 3, None)
    assert (ended.ended_at is not None, none, listed) == (True, None, [ended])


async def test_what_is_chosen_is_walked_in_order_and_what_comes_later_does_not_join(database: Database) -> None:
    await finished(database, "a", "b", "c", "d", run_id="r")
    settled = await database.read(lambda conn: chosen.settled(conn, Chosen(run_id="r")))
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(asked("later", run_id="r"))]))

    def walk(conn: Connection, wanted: Chosen, limit: int) -> list[list[int]]:
        found, cursor = [], 0
        while some := chosen.after(conn, wanted, cursor, limit):
            found.append(some)
            cursor = some[-1]
        return found

    a, b, c, d = sorted((await database.read(lambda conn: walk(conn, settled, 9)))[0])
    assert await database.read(lambda conn: walk(conn, settled, 3)) == [[a, b, c], [d]]
    listed = Chosen(states=("succeeded",), pks=(a, c, d, d + 1, d + 99))
    assert await database.read(lambda conn: walk(conn, listed, 2)) == [[a, c], [d]]
    assert await database.read(lambda conn: walk(conn, Chosen(tenant="nobody", pks=(a, c)), 1)) == []


async def test_offsets_are_known_by_what_was_read(database: Database) -> None:
    await finished(database, "a", "b", "c")
    wanted = Range("genai.requests.summarize", 0, 1, 9)
    found = await database.read(lambda conn: chosen.standing_at(conn, wanted))
    assert (len(found.pks), found.records, found.read_to) == (2, 2, {0: 3})


def admit(conn: Connection, pks: list[int], run: str = RUN) -> int:
    """As the feeder does it, with a decoder that takes everything."""
    items = [
        Item(original, 20, asked(f"{run}/{original.row.id}", run_id=run, lane=2), b'{"input": {}}')
        for original in replays.originals(conn, pks)
    ]
    return replays.admit(conn, ASIDE, run, items, pks[-1])


async def test_asked_anew_once_however_often_the_batch_is_tried(database: Database) -> None:
    pks = [pk for pk in await finished(database, "a", "b") if pk]
    await database.write(lambda conn: replays.make(conn, Run(RUN, "anew", Chosen(), budget_nano=100)))
    for _ in range(2):  # the second as after a commit whose answer was lost
        await database.write(lambda conn: admit(conn, pks))
    pulse = await database.read(lambda conn: replays.pulse(conn, RUN))
    assert (pulse.open, pulse.open_nano, pulse.spent_nano) == (2, 40, 0)
    assert await database.write(lambda conn: finish(conn, ASIDE, cost=9)) == 2
    ended = await database.read(lambda conn: replays.ended_items(conn, RUN))
    for _ in range(2):  # two that go on with the same run settle it once
        await database.write(lambda conn: replays.settle(conn, RUN, ended))
    pulse = await database.read(lambda conn: replays.pulse(conn, RUN))
    assert (pulse.open, pulse.open_nano, pulse.spent_nano) == (0, 0, 18)
    out = await database.read(published)
    assert {row.topic for row in out} == {"genai.replays", "genai.usage"}
    pairs = await database.read(lambda conn: list(replays.all_pairs(conn, RUN)))
    assert [(pair.id, pair.asked) for pair in pairs] == [("a", True), ("b", True)]
    assert all(orjson.loads(pair.replay or b"")["id"] == f"{RUN}/{pair.id}" for pair in pairs)
    assert all(orjson.loads(pair.original or b"")["id"] == pair.id for pair in pairs)
    originals = Chosen(originals=True)
    assert (
        await database.read(lambda conn: chosen.after(conn, originals, 0)) == pks
    )  # the run's own are not chosen again


async def test_a_failed_replay_is_no_dead_letter_and_a_cancelled_run_ends_aside(database: Database) -> None:
    pks = [pk for pk in await finished(database, "a", "b") if pk]
    await database.write(lambda conn: replays.make(conn, Run(RUN, "anew", Chosen(), budget_nano=100)))
    await database.write(lambda conn: admit(conn, pks[:1]))
    how = {"status": Status.FAILED, "failure": refusal()}
    await database.write(lambda conn: finish(conn, ASIDE, **how))
    await database.write(lambda conn: admit(conn, pks[1:]))
    await database.write(lambda conn: accept(conn, ASIDE, [arrived(CancelAsk("t", run_id=RUN))]))
    await database.write(lambda conn: finish(conn, ASIDE))
    out = await database.read(published)
    told = [orjson.loads(row.value)["status"] for row in out if row.topic == "genai.replays"]
    assert (told, [row.topic for row in out if row.topic in {"genai.dlq", "genai.results"}]) == (
        ["failed", "cancelled"],
        [],
    )


async def test_one_that_is_answered_at_once_is_told_aside_too(database: Database) -> None:
    pks = [pk for pk in await finished(database, "a") if pk]

    def refuse(conn: Connection) -> Any:
        replays.make(conn, Run(RUN, "anew", Chosen(), budget_nano=0))
        (original,) = replays.originals(conn, pks)
        no = asked(f"{RUN}/a", run_id=RUN, failure=refusal())
        replays.admit(conn, ASIDE, RUN, [Item(original, 0, no, b"{}")], pks[-1])
        return published(conn)

    (row,) = await database.write(refuse)
    assert (row.topic, orjson.loads(row.value)["error"]["type"]) == ("genai.replays", "invalid_request")


async def test_what_was_left_out_is_looked_at_again_under_another_budget(database: Database) -> None:
    pks = [pk for pk in await finished(database, "a", "b") if pk]

    def leave(conn: Connection) -> Any:
        replays.make(conn, Run(RUN, "anew", Chosen(), budget_nano=0))
        items = [Item(original, 20) for original in replays.originals(conn, pks)]
        replays.admit(conn, ASIDE, RUN, items, pks[-1])
        before = replays.left_out(conn, RUN), replays.known_items(conn, RUN, pks)
        replays.reopen(conn, RUN, 100)
        after = replays.left_out(conn, RUN), replays.known_items(conn, RUN, pks)
        return before, after, replays.load(conn, RUN)

    before, after, run = await database.write(leave)
    assert (before, after) == (((2, 40), set(pks)), ((0, 0), set()))
    assert (run.cursor, run.budget_nano, run.ended_at) == (0, 100, None)


async def test_records_that_are_sent_again_wait_in_the_outbox_with_the_cursor(database: Database) -> None:
    def send(conn: Connection) -> Any:
        replays.make(conn, Run(RUN, "again", Chosen()))
        record = {"topic": "t", "partition": 0, "number": None, "key": None, "value": b"v", "headers": b"[]"}
        replays.send(conn, RUN, [record, record], 9)
        last = replays.outbox_end(conn)
        waiting = replays.waiting(conn, 1), replays.waiting(conn, 9), replays.is_published(conn, last)
        conn.execute(delete(outbox))
        count = conn.execute(select(func.count()).select_from(outbox)).scalar_one()
        return waiting, count, replays.is_published(conn, last), replays.load(conn, RUN)

    waiting, left, gone, run = await database.write(send)
    assert (waiting, left, gone, run.cursor, run.sent) == ((1, 2, False), 0, True, 9, 2)
