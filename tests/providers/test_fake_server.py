"""The double as a server: Ollama's wire format, slots and a queue, and counts that outlive a killed worker."""

import asyncio
import json
import signal
import subprocess
import sys

import httpx
import pytest

from providers.double.faults import Behaviour
from providers.fake_server import FakeServer, start

CHAT = {"model": "llama3.2", "messages": [{"role": "user", "content": "Tell me about red foxes."}], "stream": False}

pytestmark = pytest.mark.fast

WRONG = [  # method, path, body, status, what is said
    ("GET", "/api/nope", "", 404, "404 page not found"),
    ("GET", "/api/chat", "", 405, "405 method not allowed"),
    ("POST", "/api/chat", "", 400, "missing request body"),
    ("POST", "/api/chat", '{"model":', 400, "unexpected EOF"),
    ("POST", "/api/chat", "[]", 400, "unexpected EOF"),
    ("POST", "/api/chat", '{"messages":[]}', 400, "model is required"),
    ("POST", "/api/chat", '{"model":"nope"}', 404, "model 'nope' not found"),
    ("POST", "/api/embed", '{"model":"nope","input":"x"}', 404, "try pulling it first"),
    ("POST", "/api/chat", '{"model":"all-minilm"}', 400, "does not support chat"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "said"), WRONG)
async def test_refuses_in_ollamas_words(
    double: FakeServer, method: str, path: str, body: str, status: int, said: str
) -> None:
    async with httpx.AsyncClient(base_url=double.url) as client:
        reply = await client.request(method, path, content=body)
    assert (reply.status_code, said in reply.text) == (status, True)


async def test_streams_lines_of_which_the_last_has_the_counters(double: FakeServer) -> None:
    """Streaming is Ollama's default; both ways give the same text."""
    async with httpx.AsyncClient(base_url=double.url) as client:
        whole = (await client.post("/api/chat", json=CHAT)).json()
        reply = await client.post("/api/chat", json={**CHAT, "stream": True})
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_count"] == whole["eval_count"] > 0


async def test_a_body_in_pieces_and_a_second_request_on_the_connection_are_read(double: FakeServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(double.url.rsplit(":", 1)[1]))
    body = json.dumps(CHAT).encode()
    request = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nX-GenAI-Request: r1\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    for piece in (request[:20], request[20:90], request[90:] + request):
        writer.write(piece)
        await asyncio.sleep(0.01)
    for _ in range(2):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
    writer.close()
    assert double.counts.requests["r1"].finished == 2


async def test_calls_above_the_slots_wait_and_take_their_turn() -> None:
    """Four calls of 0.1 s on two slots: 0.2 s, and all four count as in flight."""
    async with (
        await start(how=Behaviour(latency_s=0.1), slots=2) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(client.post("/api/chat", json=CHAT) for _ in range(4)))
        took = asyncio.get_running_loop().time() - began
    assert 0.19 < took < 0.5
    assert server.counts.max_in_flight == 4


async def test_a_full_queue_says_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.fake_server.QUEUE", 1)
    async with (
        await start(how=Behaviour(latency_s=0.1), slots=1) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        replies = await asyncio.gather(*(client.post("/api/chat", json=CHAT) for _ in range(4)))
    assert sorted(reply.status_code for reply in replies) == [200, 200, 503, 503]


async def test_a_caller_that_leaves_while_it_waits_frees_its_place() -> None:
    async with (
        await start(how=Behaviour(latency_s=0.2), slots=1) as server,
        httpx.AsyncClient(base_url=server.url) as client,
    ):
        first, second, third = (asyncio.create_task(client.post("/api/chat", json=CHAT)) for _ in range(3))
        await asyncio.sleep(0.1)
        second.cancel()
        await asyncio.gather(first, third)
    figures = server.counts.snapshot(requests=False)
    assert (figures["finished"], figures["aborted"], figures["in_flight"]) == (2, 1, 0)


async def test_tells_and_forgets_its_counts(double: FakeServer) -> None:
    async with httpx.AsyncClient(base_url=double.url) as client:
        await client.post("/api/chat", json=CHAT, headers={"x-genai-request": "feed-42/7"})
        told = (await client.get("/_counts")).json()
        await client.post("/_reset")
        forgotten = (await client.get("/_counts?requests=0")).json()
    assert told["requests"]["feed-42/7"] == {"started": 1, "finished": 1, "refused": 0, "broken": 0, "aborted": 0}
    assert (forgotten["started"], "requests" in forgotten) == (0, False)


RUN = """
from providers.double.faults import Behaviour
from providers.fake_process import serve
serve("127.0.0.1", 0, Behaviour(latency_s=5.0), ready=lambda url: print(url, flush=True))
"""

CALL = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1] + "/api/chat", sys.argv[2].encode(), {"x-genai-request": "r1"})
print("sent", flush=True)
urllib.request.urlopen(request)
"""


@pytest.mark.dear
async def test_a_killed_caller_is_counted_as_aborted_by_the_process_that_outlives_it() -> None:
    """The server's own process, with its fast loop, stops on SIGTERM with exit code 0."""
    server = subprocess.Popen([sys.executable, "-c", RUN], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = (await asyncio.to_thread(server.stdout.readline)).strip()
        caller = subprocess.Popen([sys.executable, "-c", CALL, url, json.dumps(CHAT)], stdout=subprocess.DEVNULL)
        async with httpx.AsyncClient(base_url=url) as client:
            while not (await client.get("/_counts")).json()["in_flight"]:
                await asyncio.sleep(0.02)
            caller.send_signal(signal.SIGKILL)
            await asyncio.to_thread(caller.wait)
            await asyncio.sleep(0.1)
            counted = (await client.get("/_counts")).json()["requests"]["r1"]
        assert counted == {"started": 1, "finished": 0, "refused": 0, "broken": 0, "aborted": 1}
        server.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait, 5) == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()  # type: ignore[union-attr]
