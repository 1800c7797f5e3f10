"""Ends of runs are told: signed, again and again, to addresses that may be called."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from providers.outbound import Guard, listed
from streams.runs import delivering, receivers, signing
from streams.settings import Settings
from tests.streams.webs import client, opened, web_settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_signature_is_that_of_the_libraries_test_vector() -> None:
    told = signing.headers(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert told["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "whsec_" + "A" * 200, "whsec_" + "=" * 32, "é" * 32])
def test_what_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="24 to 64 random bytes"):
        signing.key_of(secret)


NASTY = [
    ("https://example.org/hook?a=1", None),
    ("http://example.org:8080", None),
    ("https://93.184.216.34/x", None),
    ("https://10.0.0.7/listed", None),
    ("https://hooks.internal/listed", None),
    ("ftp://example.org", "http"),
    ("https://example.org/a b", "%20"),
    ("https://exam ple.org/", "%20"),
    ("https://example.org/a\u00a0b", "%20"),
    ("https://example.org/\x7f", "%20"),
    ("https://example.org/ü?a=b%20c", None),
    ("https://", "name a host"),
    ("https:///path", "name a host"),
    ("https://user:secret@example.org", "password"),
    ("https://example.org:0", "no port 0"),
    ("https://example.org:99999", "no port"),
    ("http://localhost:8100", "this machine"),
    ("http://a.localhost", "this machine"),
    ("http://127.0.0.1", "no public address"),
    ("http://0.0.0.0", "no public address"),
    ("http://[::1]/", "no public address"),
    ("http://[::ffff:127.0.0.1]/", "no public address"),
    ("http://[fe80::1]/", "link-local"),
    ("http://169.254.169.254/latest/meta-data", "link-local"),
    ("http://192.168.1.1", "no public address"),
    ("http://10.0.0.8", "no public address"),
    ("http://100.64.0.1", "no public address"),
    ("http://224.0.0.1", "multicast"),
    ("http://[64:ff9b::7f00:1]/", "no public address"),
    ("http://2130706433/", "strange spelling"),
    ("http://0x7f000001/", "strange spelling"),
    ("http://127.1/", "strange spelling"),
    ("http://0177.0.0.1/", "no URL"),
]


@pytest.mark.parametrize(("url", "words"), NASTY)
def test_nasty_addresses_are_refused_before_anything_is_kept(url: str, words: str | None) -> None:
    found = receivers.refusal(url, Guard("stranger", listed(["10.0.0.7", "hooks.internal"])))
    assert (found is None) if words is None else (found is not None and words in found), found


def test_tries_come_ever_rarer_and_end() -> None:
    assert [delivering.next_try_s(tries, 0.0) for tries in range(1, 9)] == [*delivering.STEPS_S, None]
    assert (delivering.next_try_s(1, 1.0), delivering.next_try_s(1, 0.0, 90.0)) == (6.0, 90.0)
    assert delivering.next_try_s(1, 0.0, 1e9) == 86_400.0


class Receiver:
    """Somebody's server: what it was told, and with which statuses it answers, one after the other."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.heard.append((dict(request.headers), await request.read()))
        headers = {"location": "/elsewhere"} if self.statuses[:1] == [302] else {}
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204, headers=headers)


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made, app = Receiver(), web.Application()
    app.router.add_post("/{rest:.*}", made.take)
    running = web.AppRunner(app)
    await running.setup()
    site = web.TCPSite(running, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{running.addresses[0][1]}/hook"
    yield made
    await running.cleanup()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(delivering, "STEPS_S", (0.05, 0.05))
    monkeypatch.setattr("streams.app._DELIVER_S", 0.05)
    return web_settings(tmp_path, outbound_allow="127.0.0.1")


def run(url: str, **more: Any) -> dict[str, Any]:
    webhook = {"url": url, "secret": SECRET}
    return {"kind": "task", "name": "summarize", "params": {"text": "One."}, "webhook": webhook, **more}


async def settled(api: httpx.AsyncClient, run_id: str, count: int = 1) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while True:
            told: list[dict[str, Any]] = (await api.get(f"/v1/runs/{run_id}")).json()["deliveries"]
            if len(told) == count and all(each["next_try_at"] is None for each in told):
                return told
            await asyncio.sleep(0.05)


async def test_the_end_is_told_signed_and_again_until_it_is_taken(settings: Settings) -> None:
    async with receiving() as receiver, opened(settings) as (front, _), client(front) as api:
        receiver.statuses = [500, 302]
        posted = await api.post("/v1/runs?wait=20", json=run(receiver.url, metadata={"of": "me"}))
        told = posted.json()
        found = await settled(api, told["run_id"])
        shown = (await api.get(f"/v1/runs/{told['run_id']}")).text + posted.text
    assert [(each["tries"], each["said"], each["delivered_at"] is not None) for each in found] == [
        (3, "204 No Content", True)
    ]
    assert "MfKQ9r8G" not in shown
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1
    for headers, body in receiver.heard:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert headers["webhook-signature"] == f"v1,{expected}"
    last = json.loads(receiver.heard[-1][1])
    assert (last["type"], last["data"]["run_id"], last["data"]["metadata"]) == (
        "run.succeeded",
        told["run_id"],
        {"of": "me"},
    )


@pytest.mark.parametrize(
    ("statuses", "tries", "words"), [([410], 1, "wants no more"), ([500, 404, 301, 200], 3, "301")]
)
async def test_it_is_given_up_when_nobody_wants_it(
    settings: Settings, statuses: list[int], tries: int, words: str
) -> None:
    async with receiving() as receiver, opened(settings) as (front, _), client(front) as api:
        receiver.statuses = statuses
        told = (await api.post("/v1/runs?wait=20", json=run(receiver.url))).json()
        (found,) = await settled(api, told["run_id"])
        await asyncio.sleep(0.2)
    assert (found["tries"], words in found["said"], found["delivered_at"], len(receiver.heard)) == (
        tries,
        True,
        None,
        tries,
    )


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(tmp_path: Path, settings: Settings) -> None:
    """No resolver is asked: the name is one of the machine's own."""
    alone = settings.model_copy(update={"outbound_allow": ""})
    async with receiving() as receiver, opened(alone) as (front, _), client(front) as api:
        refused = await api.post("/v1/runs", json=run(receiver.url))
        secret = await api.post(
            "/v1/runs",
            json=run("https://example.org") | {"webhook": {"url": "https://example.org", "secret": "x" * 30}},
        )
    assert (refused.status_code, "GENAI_OUTBOUND_ALLOW" in refused.text) == (422, True)
    assert (secret.status_code, "24 to 64" in secret.text, "xxxxxx" in secret.text) == (422, True, False)
    assert receiver.heard == []


async def test_what_a_process_could_not_tell_another_one_tells(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written with the end itself: the first process told nobody."""
    monkeypatch.setattr("streams.runs.delivering.Deliverer.start", lambda _: None)
    async with receiving() as receiver:
        async with opened(settings) as (front, _), client(front) as api:
            told = (await api.post("/v1/runs?wait=20", json=run(receiver.url))).json()
        monkeypatch.undo()
        async with opened(settings) as (front, _), opened(settings) as (_, _), client(front) as api:
            (found,) = await settled(api, told["run_id"])
    assert (found["tries"], len(receiver.heard)) == (1, 1)


async def test_an_uploaded_run_has_its_webhook_in_the_query_and_its_secret_in_a_header(settings: Settings) -> None:
    async with receiving() as receiver, opened(settings) as (front, _), client(front) as api:
        headers = {"content-type": "application/x-ndjson", "webhook-secret": SECRET}
        at = httpx.URL("/v1/runs", params={"name": "batch_summarize", "wait": "20", "webhook": receiver.url})
        told = (await api.post(at, content='"One."', headers=headers)).json()
        await settled(api, told["run_id"])
    assert len(receiver.heard) == 1
