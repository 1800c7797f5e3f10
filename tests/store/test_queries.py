"""Looking into the ledger."""

from store.ledger import queries
from store.ledger.accept import accept
from tests.store.ground import ROUTES, arrived, asked, opened, refusal


async def test_states_are_told_of_those_that_there_are(database_url: str) -> None:
    database = await opened(database_url)
    batch = [arrived(asked("a"), 0), arrived(asked("b", failure=refusal()), 1)]
    await database.write(lambda conn: accept(conn, ROUTES, batch))
    wanted = [
        ("t", "summarize", id_) for id_ in ("a", "b", "c", *map(str, range(300)))
    ]  # more than one statement takes
    assert await database.read(lambda conn: queries.states_of(conn, wanted)) == {
        ("t", "summarize", "a"): "waiting",
        ("t", "summarize", "b"): "failed",
    }
    await database.aclose()
