"""What is embedded is kept by what it is of, and the nearest among it are found: the same by pgvector and in process."""

import numpy as np
import pytest
from sqlalchemy import func, select, update

from agents.retrieval.index import ByPgvector, Index, InProcess, opened
from store.database import Database, parse_url
from store.ledger import room
from store.migrate import migrate
from store.passages import kept
from store.passages.tables import embedded_batches, passage_vectors

DIMENSIONS, SIZE = 32, 20


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def database(request, tmp_path):
    sqlite = f"sqlite:///{tmp_path / 'ledger.db'}"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgres_database")
    made = Database(parse_url(url))
    await migrate(made)
    yield made
    await made.aclose()


def _vectors(batches: int) -> dict[bytes, list[list[float]]]:
    chance = np.random.default_rng(7)
    return {
        kept.key("acme", "p/m", DIMENSIONS, [str(number)]): chance.standard_normal((SIZE, DIMENSIONS)).tolist()
        for number in range(batches)
    }


def _exactly(vectors: dict[bytes, list[list[float]]], query: list[float], most: int) -> list[tuple[bytes, int]]:
    wanted = np.asarray(query) / np.linalg.norm(query)
    scored = [
        (float(np.asarray(vector) @ wanted / np.linalg.norm(vector)), key, number)
        for key, batch in vectors.items()
        for number, vector in enumerate(batch)
    ]
    return [(key, number) for _, key, number in sorted(scored, reverse=True)[:most]]


async def _both(database: Database) -> list[Index]:
    """In process on every database; by pgvector where it is."""
    return [InProcess(database), *([await opened(database)] if not database.is_sqlite else [])]


async def test_the_nearest_of_all_that_is_asked_among_are_found(database: Database) -> None:
    """And of nothing else: other batches are there too. 300 are more than one page."""
    vectors = _vectors(300)
    query = np.random.default_rng(8).standard_normal(DIMENSIONS).tolist()
    for index in await _both(database):
        await database.write(lambda conn: conn.execute(embedded_batches.delete()))
        await index.put("acme", "p/m", vectors)
        asked = dict(list(vectors.items())[10:])
        found = await index.nearest(list(asked), query, 10)
        exact = _exactly(asked, query, 10)
        assert len({each[:2] for each in found} & set(exact)) >= 9, type(index)
        assert [each[2] for each in found] == sorted((each[2] for each in found), reverse=True)


@pytest.mark.postgres
async def test_postgresql_with_pgvector_looks_by_itself(postgres_database: str) -> None:
    database = Database(parse_url(postgres_database))
    await migrate(database)
    index = await opened(database)
    await index.put("acme", "p/m", _vectors(1))
    counts = [select(func.count()).select_from(passage_vectors), select(func.count(embedded_batches.c.vectors))]
    assert isinstance(index, ByPgvector)
    assert [await database.read(lambda conn, c=count: conn.execute(c).scalar()) for count in counts] == [SIZE, 0]
    await database.aclose()


async def test_a_batch_is_kept_once_and_known_by_tenant_model_and_texts(database: Database) -> None:
    index = await opened(database)
    ((key, vectors),) = _vectors(1).items()
    await index.put("acme", "p/m", {key: vectors})
    await index.put("acme", "p/m", {key: [[0.0, 1.0]]})
    others = [
        kept.key("acme", "p/other", DIMENSIONS, ["0"]),
        kept.key("other", "p/m", DIMENSIONS, ["0"]),
        kept.key("acme", "p/m", 3, ["0"]),
        kept.key("acme", "p/m", DIMENSIONS, ["0", "0"]),
        kept.key("acme", "p/m", DIMENSIONS, ["00"]),
    ]
    assert await index.known([key, *others]) == {key}


async def test_a_vector_of_zeros_is_near_to_nothing(database: Database) -> None:
    for number, index in enumerate(await _both(database)):
        key = bytes([number])
        await index.put("acme", "p/m", {key: [[0.0, 0.0], [0.0, 2e5], [0.0, -1.0]]})
        found = {place: round(score, 2) for _, place, score in await index.nearest([key], [0.0, 3.0], 3)}
        assert found == {1: 1.0, 0: 0.0, 2: -1.0}


async def test_what_nobody_asked_for_in_a_long_time_goes(database: Database) -> None:
    """A look at it counts as use."""
    index = await opened(database)
    used, unused = _vectors(2).items()
    await index.put("acme", "p/m", dict([used, unused]))
    await database.write(lambda conn: conn.execute(update(embedded_batches).values(used_at=1.0)))
    await index.known([used[0]])
    assert await database.write(lambda conn: room.drop(conn, "bodies", 1000.0, 10)) == 1
    assert await index.known([used[0], unused[0]]) == {used[0]}
    if isinstance(index, ByPgvector):
        left = select(func.count()).select_from(passage_vectors)
        assert await database.read(lambda conn: conn.execute(left).scalar()) == SIZE


@pytest.mark.postgres
async def test_without_pgvector_the_bytes_are_compared_here(postgres_database: str) -> None:
    """As where the server has none, or the role may not make it."""
    database = Database(parse_url(postgres_database))
    await migrate(database)
    await database.write(lambda conn: conn.exec_driver_sql("DROP TABLE passage_vectors"))
    assert isinstance(await opened(database), InProcess)
    await database.aclose()
