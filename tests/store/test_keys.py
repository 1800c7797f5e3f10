"""The table of keys, on both databases."""

import pytest

from store import keys
from store.keys import Secret, Wish
from tests.store.ground import opened

SCOPES = {"operations": ["*"], "models": ["*"], "lanes": ["*"], "admin": False}
WISH = Wish("feedspine", "t", SCOPES, rpm=10, lives_s=60.0)


async def test_a_key_lives_is_rotated_and_ends(database_url: str) -> None:
    database = await opened(database_url)
    made = await database.write(lambda conn: keys.create(conn, "key-1", Secret("one", b"1"), WISH))
    first = await database.read(keys.version)
    fate, row = await database.write(lambda conn: keys.rotate(conn, "key-1", Secret("two", b"2"), 30.0))
    assert row is not None
    assert (fate, row.prefix, row.old_prefix, bytes(row.old_digest), round(row.old_until - row.rotated_at)) == (
        "done",
        "two",
        "one",
        b"1",
        30,
    )
    second = await database.read(keys.version)
    ended = [await database.write(lambda conn: keys.revoke(conn, "key-1")) for _ in range(2)]
    third = await database.read(keys.version)
    assert [fate for fate, _ in ended] == ["done", "revoked"]
    assert (await database.write(lambda conn: keys.rotate(conn, "key-1", Secret("three", b"3"), 0)))[0] == "revoked"
    assert (await database.write(lambda conn: keys.revoke(conn, "key-2")))[0] == "unknown"
    assert (len({first, second, third}), round(made.expires_at - made.made_at)) == (3, 60)
    found = [await database.read(lambda conn, name=name: keys.find(conn, name)) for name in ("key-1", "two", "one")]  # type: ignore[misc]
    assert [row and row.id for row in found] == ["key-1", "key-1", None]
    await database.aclose()


async def test_used_never_goes_back_and_is_no_change(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(lambda conn: keys.create(conn, "key-1", Secret("one", b"1"), WISH))
    before = await database.read(keys.version)
    for at in (5.0, 9.0, 7.0):
        await database.write(lambda conn, at=at: keys.used(conn, {"key-1": at, "gone": at}))  # type: ignore[misc]
    (row,) = await database.read(keys.every)
    assert (row.used_at, await database.read(keys.version)) == (9.0, before)
    await database.aclose()


async def test_two_keys_never_share_a_prefix(database_url: str) -> None:
    database = await opened(database_url)
    await database.write(lambda conn: keys.create(conn, "key-1", Secret("one", b"1"), WISH))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.write(lambda conn: keys.create(conn, "key-2", Secret("one", b"2"), WISH))
    assert len(await database.read(keys.every)) == 1
    await database.aclose()
