"""The registry's promises on both databases."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from store.database import Database, parse_url
from store.registry import read, write
from store.registry.errors import Stale, Taken
from store.registry.write import About, Draft
from tests.parts.ledgers import migrate
from tests.store.ground import ROUTES


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(parse_url(database_url))
    await migrate(made)
    yield made
    await made.aclose()


def draft(text: str, origin: int | None = None) -> Draft:
    return Draft({"user": text, "notes": "x"}, digest=text, origin=origin)


async def made(database: Database, slug: str = "a") -> str:
    return await database.write(lambda conn: write.create(conn, ROUTES, "t", slug, About(slug), draft("one"), "ada"))


async def test_of_many_who_take_a_slug_one_gets_it(database: Database) -> None:
    found = await asyncio.gather(*(made(database) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, str) for each in found) == 1
    assert all(isinstance(each, str | Taken) or "prompts_slug" in str(each) for each in found)


async def test_versions_made_at_once_get_numbers_of_their_own(database: Database) -> None:
    id_ = await made(database)
    numbers = await asyncio.gather(
        *(
            database.write(lambda conn, n=n: write.edit(conn, ROUTES, id_, About("a"), draft(f"text {n}"), "ada"))
            for n in range(8)
        )
    )
    assert sorted(numbers) == list(range(2, 10))


async def test_of_two_changes_of_what_was_read_one_is_made(database: Database) -> None:
    id_ = await made(database)
    seen = (await database.read(lambda conn: read.one(conn, id_, "t"))).revision
    found = await asyncio.gather(
        *(
            database.write(lambda conn, v=v: write.move(conn, ROUTES, id_, f"l{v}", [(1, 1)], "ada", "x", seen))
            for v in range(4)
        ),
        return_exceptions=True,
    )
    assert (found.count(None), sum(isinstance(each, Stale) for each in found)) == (1, 3)


async def test_a_program_brings_its_new_wordings_and_leaves_what_people_made(database: Database) -> None:
    files = [draft("shipped 1", 1)]
    first = await database.write(lambda conn: write.seed(conn, ROUTES, "library/p", "p", About("p"), files))
    again = await database.write(lambda conn: write.seed(conn, ROUTES, "library/p", "p", About("p"), files))
    await database.write(lambda conn: write.edit(conn, ROUTES, "library/p", About("p"), draft("people's"), "ada"))
    files.append(draft("shipped 2", 2))
    later = await database.write(lambda conn: write.seed(conn, ROUTES, "library/p", "p", About("p"), files))
    rows = await database.read(lambda conn: read.versions(conn, "library/p"))
    assert (first, again, later) == (True, False, True)
    assert [(row.version, row.digest, row.origin) for row in reversed(rows)] == [
        (1, "shipped 1", 1),
        (2, "people's", None),
        (3, "shipped 2", 2),
    ]


async def test_each_change_counts_the_revision_once(database: Database) -> None:
    before = await database.read(read.revision)
    id_ = await made(database)
    await database.write(lambda conn: write.move(conn, ROUTES, id_, "l", [(1, 1)], "ada", "x"))
    await database.write(lambda conn: write.move(conn, ROUTES, id_, "l", [(1, 1)], "ada", "the same: no move"))
    await database.write(lambda conn: write.archive(conn, id_, archived=True))
    assert await database.read(read.revision) == before + 3


async def test_pages_hold_everything_once(database: Database) -> None:
    for number in range(7):
        await made(database, f"p{number}")
    found, after = [], None
    while True:
        rows, after = await database.read(lambda conn, a=after: read.page(conn, read.Wanted("t"), a, 3))
        found += [row.slug for row in rows]
        if after is None:
            break
    assert found == [f"p{number}" for number in reversed(range(7))]


async def test_only_what_has_changed_is_read_again(database: Database) -> None:
    a, b = await made(database, "a"), await made(database, "b")
    first = await database.read(lambda conn: read.index(conn, {}))
    assert ({row.id for row in first.prompts}, first.marks.keys(), len(first.versions)) == ({a, b}, {a, b}, 2)
    await database.write(lambda conn: write.move(conn, ROUTES, a, "production", [(1, 1)], "ada", "x"))
    await database.write(lambda conn: write.edit(conn, ROUTES, b, About("b"), draft("two"), "ada"))
    second = await database.read(lambda conn: read.index(conn, {a: first.marks[a]} | {b: (0, 0)}))
    known = await database.read(lambda conn: read.index(conn, second.marks))
    assert ({row.id for row in second.prompts}, len(second.versions), len(second.labels)) == ({a, b}, 3, 1)
    assert (known.revision, known.prompts, known.versions, known.labels) == (second.revision, [], [], [])
    found = await database.read(lambda conn: read.bodies(conn, [(b, 2), (a, 1), (a, 9)]))
    assert {(row.prompt_id, row.version, b"two" in row.body) for row in found} == {(a, 1, False), (b, 2, True)}
