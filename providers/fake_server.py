"""The double as a server that speaks its providers' formats, and counts: its count outlives a worker that is killed.

    GET  /_counts             figures and calls by request (`?requests=0`: without them), from the header x-genai-request
    POST /_reset              forget them, and close the gate
    POST /_open               open the gate for the answers that wait at it, `[fake:gate]`, and those to come
    GET  /_batches            which batches were submitted; `batches` says how they go

Which paths it has, `providers/double/wires.py` lists by format. An answer that is streamed comes in pieces over a latency of
0.2 s or more. With `slots`, further calls wait in a queue of 512, then 503, as at an Ollama. With `Behaviour.holds` it loads
and throws out models as one, too, and pulls them (`/api/pull`). Measured with a JSON schema at 0 ms: 75-95 us of CPU a call,
5,500-11,000 calls/s beside its client on two shared cores.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from providers.double import anthropic_batches, ollama, openai_batches, pulling, spoiling
from providers.double.batching import Room
from providers.double.counts import Counts, End
from providers.double.faults import FAULTS, STEP_S, Behaviour, Fault, Plan, plan
from providers.double.http1 import Connection, Request, Response
from providers.double.loading import Loading
from providers.double.wire import Asked, Refusal, Said, Shelf, Wire
from providers.double.wires import WIRES

MODELS = ("fake:latest", "fake-embed:latest", "llama3.2:latest", "nomic-embed-text:latest", "all-minilm:latest")
QUEUE = 512

_WRONG_PATH = Response(b"404 page not found", 404, "text/plain")


@dataclass(slots=True)
class Call:
    """One call between its arrival and its end. `timer` runs while it has a slot."""

    connection: Connection
    tag: str
    asked: Asked
    fate: Plan
    timer: asyncio.TimerHandle | None = None
    working: bool = False
    begun: bool = False
    """A part of its answer was sent."""
    load_s: float = 0.0
    """How much of its time it waited for its model."""
    said: Said | None = None
    """Its answer, while its rest waits at the gate."""


class FakeServer:
    """`async with await start(…)`, or `aclose()`."""

    def __init__(self, how: Behaviour, slots: int, models: tuple[str, ...]) -> None:
        self.counts = Counts()
        self.url = ""
        self._how = how
        self._slots = slots
        self._models = list(models)
        self._unloaded: set[str] = set()
        self._loading = Loading(how.holds, how.load_s, time.monotonic)
        self._working = 0
        self._queue: deque[Call] = deque()
        self._calls: dict[Connection, Call] = {}
        self._gate_is_open = False
        self._at_gate: list[Call] = []
        self._server: asyncio.Server | None = None
        self.batches = Room(self._in_batch)
        self._pages: Mapping[tuple[str, str], Callable[[Request], Response]] = {
            ("GET", "/_counts"): self._show_counts,
            ("POST", "/_reset"): self._reset,
            ("POST", "/_open"): self._open,
            ("GET", "/_batches"): lambda _: _json({"batches": self.batches.shown()}),
        }

    async def listen(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self.url = f"http://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def aclose(self) -> None:
        """Calls in flight are reset, as when a server dies."""
        if self._server is not None:
            self._server.close()
        self.batches.close()
        for connection in list(self._calls):
            connection.transport.abort()

    async def __aenter__(self) -> "FakeServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def received(self, connection: Connection, request: Request) -> None:
        for wire in WIRES:
            if wire.kind(request.path) is not None:
                self._call(connection, request, wire)
                return
        if (request.method, request.path) == ("POST", "/api/pull"):
            self._pull(connection, request)
            return
        if self.batches.refuses and (request.method, request.path[-8:]) == ("POST", "/batches"):
            connection.answer(Response(orjson.dumps({"error": {"message": "no batches for this key"}}), 403))
            return
        for page in (openai_batches.page, anthropic_batches.page):
            if (told := page(request, self.batches)) is not None:
                self._acknowledge(connection, request, told)
                return
        connection.answer(self._page(request))

    def _acknowledge(self, connection: Connection, request: Request, told: Response) -> None:
        """A batch that was made stands, whoever has gone before it is told so."""
        if request.method != "POST" or not self.batches.ack_s or not request.path.endswith("/batches"):
            connection.answer(told)
            return

        def answer() -> None:
            if not connection.transport.is_closing():
                connection.answer(told)

        asyncio.get_running_loop().call_later(self.batches.ack_s, answer)

    def _in_batch(self, path: str, id_: str, body: bytes) -> Response:
        """One call of a batch, at once; the faults that say how a call breaks off are failures of the server here."""
        wire = next(each for each in WIRES if each.kind(path) is not None)
        nth = self.counts.start(id_)
        headers = {"x-api-key": "batch", "anthropic-version": "batch"}
        try:
            asked = wire.read(Request("POST", path, "", id_, body, headers), self._shelf())
        except Refusal as refusal:
            self.counts.end(id_, "refused")
            return refusal.response
        fate = plan(self._how, id_, nth, asked.texts)
        fault = FAULTS[fate.fault] if fate.fault is not None else None
        if fault is not None:
            self.counts.end(id_, "broken" if fault.executed else "refused")
            return wire.failure(fate if fault.wire == "error" else Plan(fault="server_error"))
        self.counts.end(id_, "finished")
        return wire.answer(asked, fate, self._shelf(), 0.0).whole()

    def _page(self, request: Request) -> Response:
        own = self._pages.get((request.method, request.path))
        if own is not None:
            return own(request)
        found = (wire.page(request, self._shelf()) for wire in WIRES)
        return next((page for page in found if page is not None), _WRONG_PATH)

    def left(self, connection: Connection) -> None:
        """The caller is gone: its slot is free, and the call counts as aborted."""
        call = self._calls.pop(connection, None)
        if call is None:
            return
        if call.timer is not None:
            call.timer.cancel()
        if not call.working:
            with contextlib.suppress(ValueError):
                self._queue.remove(call)
        self._closed(call, "aborted")

    def _call(self, connection: Connection, request: Request, wire: Wire) -> None:
        tag = request.tag
        nth = self.counts.start(tag)
        try:
            asked = wire.read(request, self._shelf())
        except Refusal as refusal:
            self.counts.end(tag, "refused")
            connection.answer(refusal.response)
            return
        if self._how.most and self._working >= self._how.most:
            self.counts.end(tag, "refused")
            connection.answer(wire.failure(Plan(fault="rate_limited", argument=self._how.most_wait_s)))
            return
        if asked.unloads:
            self._unload(asked.model)
            self.counts.end(tag, "finished")
            connection.answer(wire.answer(asked, Plan(), self._shelf(), 0.0).whole())
            return
        fate = plan(self._how, tag or f"#{self.counts.total.started}", nth, asked.texts)
        call = Call(connection, tag, asked, fate)
        if self._queue or not self._may_work(call):
            self._wait(call)
        else:
            self._calls[connection] = call
            self._work(call)

    def loaded(self) -> tuple[str, ...]:
        """The models in memory."""
        if self._how.holds:
            return tuple(self._loading.ready_at)
        return tuple(name for name in self._models if name not in self._unloaded)

    def _unload(self, model: str) -> None:
        self._loading.drop(_tagged(model))
        self._unloaded.add(_tagged(model))

    def _pull(self, connection: Connection, request: Request) -> None:
        model = ollama.named(request.body)
        if not model:
            connection.answer(ollama.error(400, "invalid model name"))
            return

        def done() -> None:
            if _tagged(model) not in self._models:
                self._models.append(_tagged(model))

        pulling.pull(connection, model, done)

    def _shelf(self) -> Shelf:
        return Shelf(tuple(self._models), self.loaded(), self._how.context_tokens, self._how.seed)

    def _may_work(self, call: Call) -> bool:
        has_slot = not self._slots or self._working < self._slots
        return has_slot and self._loading.may_begin(_tagged(call.asked.model))

    def _wait(self, call: Call) -> None:
        if len(self._queue) >= QUEUE:
            self.counts.end(call.tag, "refused")
            call.connection.answer(call.asked.wire.failure(Plan(fault="overloaded")))
            return
        self._calls[call.connection] = call
        self._queue.append(call)

    def _work(self, call: Call) -> None:
        self._working += 1
        call.working = True
        self._unloaded.discard(_tagged(call.asked.model))
        call.load_s = self._loading.begin(_tagged(call.asked.model))
        if call.load_s:
            call.fate = replace(call.fate, delay_s=call.fate.delay_s + call.load_s)
        if call.fate.gate and not self._gate_is_open:
            self._wait_at_gate(call)
        elif call.fate.delay_s >= 2 * STEP_S and call.fate.fault is None and call.asked.streamed:
            self._stream(call)
        elif call.fate.delay_s > 0:
            call.timer = asyncio.get_running_loop().call_later(call.fate.delay_s, self._finish, call)
        else:
            self._finish(call)

    def _wait_at_gate(self, call: Call) -> None:
        """Streamed: with its first pieces sent."""
        self._at_gate.append(call)
        if call.asked.streamed:
            call.said = self._answer(call)
            call.begun = True
            call.connection.begin(call.said.content_type)
            call.connection.more(b"".join(call.said.pieces[: call.said.opening]))

    def _open(self, _: Request) -> Response:
        self._gate_is_open = True
        waiting, self._at_gate = self._at_gate, []
        for call in waiting:
            if self._calls.get(call.connection) is not call:
                continue
            if call.said is None:
                self._finish(call)
            else:
                rest = b"".join(call.said.pieces[call.said.opening :])
                self._piece(call, call.said.content_type, deque([rest]), 0.0)
        return _json({})

    def _stream(self, call: Call) -> None:
        """The pieces evenly over the time."""
        said = self._answer(call)
        steps = int(call.fate.delay_s / STEP_S)
        count = len(said.pieces)
        parts = [b"".join(said.pieces[count * i // steps : count * (i + 1) // steps]) for i in range(steps)]
        self._later(call, said.content_type, deque(parts), call.fate.delay_s / steps)

    def _later(self, call: Call, kind: str, pieces: deque[bytes], seconds: float) -> None:
        call.timer = asyncio.get_running_loop().call_later(seconds, self._piece, call, kind, pieces, seconds)

    def _piece(self, call: Call, kind: str, pieces: deque[bytes], seconds: float) -> None:
        if not call.begun:
            call.begun = True
            call.connection.begin(kind)
        call.connection.more(pieces.popleft())
        if pieces:
            self._later(call, kind, pieces, seconds)
            return
        del self._calls[call.connection]
        self._closed(call, "finished")
        call.connection.end()

    def _finish(self, call: Call) -> None:
        """A call that hangs keeps its slot until its caller leaves."""
        fault = FAULTS[call.fate.fault] if call.fate.fault is not None else None
        if fault is not None and fault.wire in ("hang", "hang midway"):
            call.connection.spoil(
                spoiling.half(self._answer(call)) if fault.wire == "hang midway" else b"", then="hang"
            )
            return
        del self._calls[call.connection]
        end: End = "finished" if fault is None else "broken" if fault.executed else "refused"
        self._closed(call, end)
        if fault is not None and fault.wire in ("cut", "reset"):
            half = spoiling.half(self._answer(call)) if fault.wire == "cut" else b""
            call.connection.spoil(half, then="close" if fault.wire == "cut" else "reset")
        else:
            call.connection.answer(self._response(call, fault))

    def _response(self, call: Call, fault: Fault | None) -> Response:
        """A whole HTTP answer, whatever is in it."""
        wire = call.asked.wire
        if fault is None:
            return self._answer(call).whole()
        if fault.wire == "error":
            return wire.failure(call.fate)
        said = self._answer(call)
        if fault.wire == "unfinished":
            return spoiling.unfinished(said)
        assert fault.wire in ("broken json", "empty", "failed midway")
        return wire.spoilt(call.asked, fault.wire, said)

    def _closed(self, call: Call, end: End) -> None:
        self.counts.end(call.tag, end)
        if call.working:
            self._working -= 1
            self._loading.end(_tagged(call.asked.model))
        while self._queue and self._may_work(self._queue[0]):
            self._work(self._queue.popleft())

    def _answer(self, call: Call) -> Said:
        return call.asked.wire.answer(call.asked, call.fate, self._shelf(), call.load_s)

    def _show_counts(self, request: Request) -> Response:
        return _json(self.counts.snapshot(requests="requests=0" not in request.query) | {"loads": self._loading.loads})

    def _reset(self, _: Request) -> Response:
        self.counts.reset()
        self._loading.loads = {}
        self._gate_is_open = False
        return _json({})


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value))


async def start(
    host: str = "127.0.0.1",
    port: int = 0,
    how: Behaviour = Behaviour(),  # noqa: B008 - frozen
    *,
    slots: int = 0,
    models: tuple[str, ...] = MODELS,
) -> FakeServer:
    """Listening when it returns, at `.url`. Port 0: any free one; slots 0: no limit. Raises OSError: the port is taken."""
    server = FakeServer(how, slots, models)
    await server.listen(host, port)
    return server
