"""Keys at the door: who comes in, what they see, what they may, and how fast a change counts."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from store import keys as rows
from streams import keys
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

Door = tuple[Front, Spine]
TEXT = {"content": "One."}


async def made(spine: Spine, **told: Any) -> tuple[str, str]:
    """A key and its id."""
    id_, key = keys.make()
    wish = keys.wish({"name": "n", **told})
    await spine.database.write(lambda conn: rows.create(conn, id_, keys.secret(key), wish))
    return key, id_


@contextlib.asynccontextmanager
async def bearing(front: Front, key: str | None) -> AsyncIterator[httpx.AsyncClient]:
    async with client(front) as api:
        if key is not None:
            api.headers["authorization"] = f"Bearer {key}"
        yield api


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """With a key, so that it is closed, on loopback."""
    async with opened(web_settings(tmp_path)) as (front, spine):
        await made(spine, name="first", tenant="t")
        await front.keys.look(spine.database)
        yield front, spine


async def until_closed(front: Front) -> None:
    async with asyncio.timeout(3):
        while front.keys.empty:
            await asyncio.sleep(0.02)


async def test_the_first_key_closes_a_door_that_was_open_and_revoking_it_opens_nothing(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        before = await api.post("/v1/summarize", json=TEXT, headers={"authorization": "Bearer sk-anything"})
        key, id_ = await made(spine, tenant="b")
        first = await api.post("/v1/summarize", json=TEXT, headers={"authorization": f"Bearer {key}"})
        assert first.json()["tenant"] == "b"  # at once, though this process had looked before
        closed = await api.post("/v1/summarize", json=TEXT)
        await spine.database.write(lambda conn: rows.revoke(conn, id_))
        await asyncio.sleep(1.2)
        still = await api.post("/v1/summarize", json=TEXT)
    assert [reply.status_code for reply in (before, closed, still)] == [200, 401, 401]


async def test_a_key_works_in_either_header_at_once_and_as_a_password_only_to_look(door: Door) -> None:
    key, id_ = await made(door[1], tenant="t")
    async with client(door[0]) as api:
        told = [
            (await api.post("/v1/summarize", json=TEXT, headers=headers)).status_code
            for headers in (
                {"authorization": f"Bearer {key}"},
                {"x-api-key": key},
                {"authorization": f"Bearer {key}", "x-api-key": key},
                {"authorization": "Bearer ", "x-api-key": key},
            )
        ]
        look = await api.get("/v1/requests", auth=("me", key))
        order = await api.post("/v1/summarize", json=TEXT, auth=("me", key))
    assert (told, look.status_code, order.status_code) == ([200] * 4, 200, 401)
    await door[0].keys.stop()
    (used,) = [row.used_at for row in await door[1].database.read(rows.every) if row.id == id_]
    assert abs(used - time.time()) < 60


_BAD: list[tuple[list[tuple[bytes, bytes]], str]] = [
    ([], "needs a key"),
    ([(b"authorization", b"Bearer ")], "needs a key"),
    ([(b"authorization", b"")], "needs a key"),
    ([(b"authorization", b"Digest x")], "needs a key"),
    ([(b"authorization", b"Basic !!!")], "needs a key"),
    ([(b"x-api-key", b"sk-proj-somebody-elses")], "Nobody has made"),
    ([(b"x-api-key", "clé".encode())], "Nobody has made"),
    ([(b"x-api-key", b"\xff\xfe")], "Nobody has made"),
    ([(b"authorization", b"Bearer WRONG")], "Nobody has made"),
    ([(b"authorization", b"Bearer GOOD\r\nx-genai-tenant: a")], "Nobody has made"),
    ([(b"authorization", b"Bearer GOOD GOOD")], "Nobody has made"),
    ([(b"authorization", b"Bearer GOOD"), (b"x-api-key", b"OTHER")], "Two different keys"),
    ([(b"x-api-key", b"GOOD"), (b"x-api-key", b"OTHER")], "Two different keys"),
    ([(b"x-api-key", b"GOOD\0")], "Nobody has made"),
    ([(b"x-api-key", b"x" * 50_000)], "Nobody has made"),
    ([(b"x-api-key", b"REVOKED")], "was revoked"),
    ([(b"x-api-key", b"EXPIRED")], "has expired"),
]


async def test_what_is_no_key_that_works_is_refused_with_a_sentence(door: Door) -> None:
    front, spine = door
    (good, _), (other, _), (expired, _) = await made(spine), await made(spine), await made(spine, expires="5s")
    revoked, gone = await made(spine)
    await spine.database.write(lambda conn: rows.revoke(conn, gone))
    await front.keys.look(spine.database)
    front.keys._clock = lambda: time.time() + 6
    named = {b"GOOD": good, b"OTHER": other, b"EXPIRED": expired, b"REVOKED": revoked, b"WRONG": good[:-1] + "~"}
    async with client(front) as api:
        for headers, words in _BAD:
            reply = await api.get("/v1/requests", headers=[(name, _with(value, named)) for name, value in headers])
            problem = reply.json()
            assert (reply.status_code, problem["error"]["type"]) == (401, "refused"), headers
            assert words in problem["detail"], headers
            assert not any(key in reply.text for key in (good, other, expired, revoked)), headers


def _with(value: bytes, named: dict[bytes, str]) -> bytes:
    for name, key in named.items():
        value = value.replace(name, key.encode())
    return value


async def test_a_wrong_secret_behind_a_known_prefix_is_nobodys(door: Door) -> None:
    key, _ = await made(door[1])
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    async with bearing(door[0], wrong) as api:
        assert "Nobody has made" in (await api.get("/v1/requests")).json()["detail"]


async def test_keys_that_nobody_knows_cost_the_database_a_bounded_rate(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, look = 0, rows.version

    def counted(conn: Any) -> tuple[int, int]:
        nonlocal asked
        asked += 1
        return look(conn)

    monkeypatch.setattr(rows, "version", counted)
    began = time.monotonic()
    async with client(door[0]) as api:
        asking = [api.get("/v1/requests", headers={"x-api-key": keys.fresh()}) for _ in range(100)]
        found = {reply.status_code for reply in await asyncio.gather(*asking)}
    assert found == {401}
    assert asked <= 4 + (time.monotonic() - began) / 0.2


async def test_a_rotation_lets_both_in_for_a_while_and_a_revocation_neither_on_every_process(tmp_path: Path) -> None:
    settings = web_settings(tmp_path)
    async with opened(settings) as (front, spine), opened(settings) as (other, _):
        key, id_ = await made(spine, tenant="t")
        new = keys.fresh()
        await spine.database.write(lambda conn: rows.rotate(conn, id_, keys.secret(new), 600))

        async def told() -> list[int]:
            found = []
            for each in (front, other):
                async with client(each) as api:
                    found += [(await api.get("/v1/requests", headers={"x-api-key": k})).status_code for k in (key, new)]
            return found

        await until_closed(other)
        await until_closed(front)
        assert await told() == [200] * 4
        await spine.database.write(lambda conn: rows.revoke(conn, id_))
        began = time.monotonic()
        async with asyncio.timeout(10):
            while await told() != [401] * 4:
                await asyncio.sleep(0.05)
        took = time.monotonic() - began
        third, again = await made(spine), keys.fresh()
        await spine.database.write(lambda conn: rows.rotate(conn, third[1], keys.secret(again), 0))
        async with client(front) as api:
            told_ = [(await api.get("/v1/requests", headers={"x-api-key": k})).status_code for k in (again, third[0])]
    assert told_ == [200, 401]
    assert took < 5  # within two seconds where the machine is not busy


_LOOKS = [
    ("GET", "/v1/requests/theirs"),
    ("GET", "/v1/requests/theirs?tenant=a"),
    ("GET", "/v1/requests/theirs?tenant=a&operation=summarize"),
    ("GET", "/v1/requests/theirs/queue?tenant=a"),
    ("GET", "/v1/requests/theirs/events?tenant=a"),
    ("POST", "/v1/requests/theirs/cancel?tenant=a"),
    ("POST", "/v1/requests/theirs/cancel?tenant=a&operation=summarize"),
    ("POST", "/v1/requests/theirs/cancel"),
    ("POST", "/v1/requests/theirs/retry?tenant=a&operation=summarize"),
    ("POST", "/v1/requests/theirs/drop?tenant=a&operation=summarize"),
    ("POST", "/v1/runs/run/cancel?tenant=a"),
]


async def test_another_tenants_requests_are_as_unknown_as_those_that_nobody_has_sent(door: Door) -> None:
    front, spine = door
    spine.engine.draining = True  # it waits, so that a cancel that came through would end it
    ours, theirs = (await made(spine, tenant="b"))[0], (await made(spine, tenant="a"))[0]
    async with bearing(front, theirs) as api:
        assert (
            await api.post("/v1/summarize?wait=0", json={**TEXT, "id": "theirs", "run_id": "run"})
        ).status_code == 202
    async with bearing(front, ours) as api:
        for method, path in _LOOKS:
            found = await api.request(method, path)
            unknown = await api.request(method, path.replace("theirs", "nobodys"))
            assert (found.status_code, unknown.status_code) == (404, 404), (path, found.text)
            assert found.json()["detail"].replace("theirs", "nobodys") == unknown.json()["detail"]
    async with bearing(front, theirs) as api:
        told = (await api.get("/v1/requests/theirs")).json()
    assert (told["tenant"], told["state"]) == ("a", "waiting")


async def test_lists_books_and_queues_show_ones_own_and_refuse_to_be_asked_for_others(door: Door) -> None:
    front, spine = door
    ours, theirs = (await made(spine, tenant="b"))[0], (await made(spine, tenant="a"))[0]
    every, admin = (await made(spine))[0], (await made(spine, admin=True))[0]
    for key in (ours, theirs, theirs):
        async with bearing(front, key) as api:
            assert (await api.post("/v1/summarize", json=TEXT)).status_code == 200

    async def seen(key: str) -> tuple[int, int, int, int]:
        async with bearing(front, key) as api:
            listed = (await api.get("/v1/requests")).json()["items"]
            days = (await api.get("/v1/costs")).json()["totals"]["calls"]
            by = (await api.get("/v1/costs?by=operation")).json()["totals"]["calls"]
            usage = (await api.get("/v1/usage?by=tenant")).json()["totals"]["calls"]
            return len(listed), days, by, usage

    assert [await seen(key) for key in (ours, theirs, every, admin)] == [(1,) * 4, (2,) * 4, (3,) * 4, (3,) * 4]
    async with bearing(front, ours) as api:
        own = [await api.get(f"{path}?tenant=b") for path in ("/v1/requests", "/v1/queue")]
        foreign = [await api.get(f"{path}?tenant=a") for path in ("/v1/requests", "/v1/queue")]
        closed = [await api.get(path) for path in ("/", "/metrics")]
    assert [reply.status_code for reply in (*own, *foreign, *closed)] == [200, 200, 403, 403, 403, 403]


@pytest.mark.parametrize(
    ("changes", "headers"),
    [({"tenant": "a"}, {}), ({}, {"genai-tenant": "a"}), ({"tenant": "a"}, {"genai-tenant": "b"})],
)
async def test_a_request_that_names_another_tenant_is_refused(
    door: Door, changes: dict[str, str], headers: dict[str, str]
) -> None:
    key, id_ = await made(door[1], tenant="b")
    async with bearing(door[0], key) as api:
        foreign = await api.post("/v1/summarize", json={**TEXT, **changes}, headers=headers)
        own = await api.post("/v1/summarize", json={**TEXT, "tenant": "b"})
        silent = await api.post("/v1/summarize", json=TEXT)
    assert (foreign.status_code, "of the tenant 'b'" in foreign.json()["detail"]) == (403, True)
    assert [(reply.status_code, reply.json()["tenant"]) for reply in (own, silent)] == [(200, "b")] * 2
    assert [row.key_id for row in await door[1].database.read(_rows)] == [id_] * 2


def _rows(conn: Any) -> Any:
    from sqlalchemy import select

    from store.tables import requests

    return conn.execute(select(requests)).all()


@pytest.mark.parametrize(
    ("scopes", "path", "missing"),
    [
        ({"operations": ["embed"]}, "/v1/summarize", "operations:summarize"),
        ({"models": ["ollama/*"]}, "/v1/summarize", "models:fake/"),
        ({"lanes": ["batch"]}, "/v1/summarize", "lanes:normal"),
        ({"lanes": ["batch"]}, "/v1/summarize?lane=batch", ""),
        ({"operations": ["summ*"], "models": ["fake/*"]}, "/v1/summarize", ""),
    ],
)
async def test_what_a_key_is_not_for_is_refused_with_what_is_missing(
    door: Door, scopes: dict[str, Any], path: str, missing: str
) -> None:
    key, _ = await made(door[1], tenant="b", **scopes)
    async with bearing(door[0], key) as api:
        reply = await api.post(path, json=TEXT)
    told = reply.json().get("missing", "")
    assert (reply.status_code, told.startswith(missing)) == (403 if missing else 200, True), reply.text


async def test_keys_are_made_over_http_by_an_admin_and_shown_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with opened(web_settings(tmp_path, api_key="operator")) as (front, _), bearing(front, "operator") as api:
        body = {"name": "app", "tenant": "b", "rpm": 3, "expires": "90d"}
        created = await api.post("/v1/keys", json=body)
        key, id_ = created.json()["key"], created.json()["id"]
        listed, one = await api.get("/v1/keys"), await api.get(f"/v1/keys/{key[:14]}")
        rotated = await api.post(f"/v1/keys/{id_}/rotate?overlap=1h")
        async with bearing(front, key) as theirs:
            refused = [await theirs.get("/v1/keys"), await theirs.post("/v1/keys", json=body)]
            works = await theirs.post("/v1/summarize", json=TEXT)
        revoked = [await api.post(f"/v1/keys/{id_}/revoke") for _ in range(2)]
        after = await api.post(f"/v1/keys/{id_}/rotate")
        wrong = [await api.post("/v1/keys", json={"name": "a", "rpm": 0}), await api.get("/v1/keys/nobodys")]
    assert (created.status_code, created.headers["cache-control"]) == (201, "no-store")
    logged = "".join(capsys.readouterr())
    assert ("a key was revoked" in logged, id_ in logged, key in logged, rotated.json()["key"] in logged) == (
        True,
        True,
        False,
        False,
    )
    assert (key in listed.text + one.text, one.json()["id"], rotated.json()["old_prefix"]) == (False, id_, key[:14])
    assert [reply.status_code for reply in (*refused, works)] == [403, 403, 200]
    assert [reply.json()["state"] for reply in revoked] == ["revoked", "revoked"]
    assert [reply.status_code for reply in (after, *wrong)] == [409, 422, 404]


@pytest.mark.parametrize(("limits", "type_"), [({"rpm": 1}, "requests"), ({"tpm": 10}, "tokens")])
async def test_openais_clients_are_told_which_limit_of_the_minute_is_spent(
    door: Door, limits: dict[str, int], type_: str
) -> None:
    key, _ = await made(door[1], tenant="b", **limits)
    async with bearing(door[0], key) as api:
        asked = {"model": "fake", "messages": [{"role": "user", "content": "One."}]}
        found = [await api.post("/v1/chat/completions", json=asked) for _ in range(4)]
    (error,) = {reply.json()["error"]["type"] for reply in found if reply.status_code == 429}
    assert error == type_


async def test_a_minutes_requests_are_counted_down_and_then_refused(door: Door) -> None:
    key, _ = await made(door[1], tenant="b", rpm=2, tpm=100_000)
    async with bearing(door[0], key) as api:
        found = [await api.post("/v1/summarize", json=TEXT) for _ in range(5)]
    taken = [reply for reply in found if reply.status_code == 200]
    last = found[-1]
    assert 2 <= len(taken) <= 4  # a minute may end in between
    assert (taken[0].headers["x-ratelimit-limit-requests"], taken[0].headers["x-ratelimit-remaining-requests"]) == (
        "2",
        "1",
    )
    assert int(taken[0].headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert (last.status_code, last.json()["error"]["type"]) == (429, "rate_limited")
    assert last.headers["x-ratelimit-reset-requests"] == f"{last.headers['retry-after']}s"
    assert last.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_key_has_so_many_unfinished_requests_and_no_more(door: Door) -> None:
    front, spine = door
    spine.engine.draining = True
    key, _ = await made(spine, tenant="b", concurrency=2)
    async with bearing(front, key) as api:
        found = [await api.post("/v1/summarize?wait=0", json={**TEXT, "id": f"r{i}"}) for i in range(3)]
        again = await api.post("/v1/summarize?wait=0", json={**TEXT, "id": "r0"})
        assert (await api.post("/v1/requests/r0/cancel")).status_code == 200
        third = await api.post("/v1/summarize?wait=0", json={**TEXT, "id": "r2"})
    assert [reply.status_code for reply in (*found, again, third)] == [202, 202, 429, 202, 202]
    assert found[2].headers["retry-after"] == "1"


async def test_a_process_that_starts_shows_nothing_and_says_so(tmp_path: Path) -> None:
    async with client(Front(web_settings(tmp_path), "web")) as api:
        assert (await api.get("/v1/requests")).status_code == 503
    async with bearing(Front(web_settings(tmp_path, api_key="k"), "web"), keys.fresh()) as api:
        reply = await api.get("/v1/requests")
    assert (reply.status_code, "does not know the keys yet" in reply.text) == (503, True)
