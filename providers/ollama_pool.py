"""The nodes of an Ollama pool as an operator handles them: pull a model, load it, unload it, see what each one has.

Each node is asked by itself and answers for itself: one that is away, or refuses, stops no other.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

import httpx
import orjson

from providers import http, ollama_wire
from providers.errors import Disconnected, ModelNotFound, ProviderError, Rejected, ServerError
from providers.ollama import with_scheme
from providers.ollama_wire import Prompt
from providers.outbound import NOTHING, Guard, Listed

_ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a node is with a pull: of the part that it downloads now, in bytes."""

    node: str
    status: str
    completed: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended at one node; `why`: it did not work."""

    node: str
    why: str | None = None


@dataclass(frozen=True, slots=True)
class OnNode:
    """One model at one node. `loaded` in memory; `on_gpu`: a part of it."""

    node: str
    model: str
    loaded: bool
    on_gpu: bool


Told = Callable[[Progress], None]


class Pool:
    """Whoever made it closes it."""

    def __init__(
        self, urls: tuple[str, ...], *, num_ctx: int = 8192, keep_alive: str = "30m", outbound: Listed = NOTHING
    ) -> None:
        known = [http.address(with_scheme(url)) for url in urls]
        self._nodes = {each.name: each for each in known}
        self._num_ctx, self._keep_alive = num_ctx, keep_alive
        self._http = http.client(Guard("operator", outbound))

    def nodes(self) -> tuple[str, ...]:
        """As the provider names them."""
        return tuple(self._nodes)

    async def pull(self, nodes: tuple[str, ...], model: str, told: Told, timeout_s: float) -> list[Done]:
        """Side by side; `told` how far each one is. Told to stop, a node keeps what it has, and goes on from there next time."""
        return await self._each(nodes, lambda node: self._pull(node, model, told, timeout_s))

    async def warm(self, nodes: tuple[str, ...], model: str, keep_alive: str | None, timeout_s: float) -> list[Done]:
        """Load it with the context that calls have, so that the first of them does not load it anew."""
        return await self._each(nodes, lambda node: self._warm(node, model, keep_alive or self._keep_alive, timeout_s))

    async def unload(self, nodes: tuple[str, ...], model: str, timeout_s: float) -> list[Done]:
        """It leaves the memory once the calls that are with it have ended. Not loaded: nothing happens."""
        body = {"model": model, "messages": [], "keep_alive": 0}
        return await self._each(nodes, lambda node: self._asked(node, "/api/chat", body, timeout_s))

    async def models(self, nodes: tuple[str, ...]) -> tuple[list[OnNode], list[Done]]:
        """What each node has, and how the asking ended."""
        found: list[OnNode] = []

        async def look(node: str) -> None:
            tags, loaded = await asyncio.gather(self._get(node, "/api/tags"), self._get(node, "/api/ps"))
            held = ollama_wire.read_loaded(loaded.content) or {}
            found.extend(
                OnNode(node, name, name in held, held.get(name, False))
                for name in ollama_wire.read_models(tags.content)
            )

        ends = await self._each(nodes, look)
        return sorted(found, key=lambda each: (nodes.index(each.node), each.model)), ends

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _each(self, nodes: tuple[str, ...], work: Callable[[str], Awaitable[None]]) -> list[Done]:
        async def ended(node: str) -> Done:
            try:
                await work(node)
            except ProviderError as error:
                return Done(node, error.message)
            return Done(node)

        return list(await asyncio.gather(*map(ended, nodes)))

    async def _pull(self, node: str, model: str, told: Told, timeout_s: float) -> None:
        """A stream that ends without `success` was cut: the model is not there."""
        last: dict[str, object] = {}
        rest = b""

        def heard(piece: bytes) -> None:
            nonlocal rest, last
            *whole, rest = (rest + piece).split(b"\n")
            for line in filter(None, whole):
                last = ollama_wire.read_object(line)
                if "status" in last:
                    told(_progress(node, last))

        at = self._nodes[node]
        reply = await http.send(
            self._http,
            "POST",
            f"{at.base}/api/pull",
            timeout_s=timeout_s,
            content=orjson.dumps({"model": model, "stream": True}),
            headers={"content-type": "application/json", **at.headers},
            heard=heard,
        )
        if reply.status_code != httpx.codes.OK:
            raise _refusal(reply, node, model)
        if "error" in last:
            raise _unpulled(node, model, str(last["error"]))
        if last.get("status") != "success":
            raise Disconnected(f"{node} stopped before `{model}` was whole. Pull it again: what came is kept.")

    async def _warm(self, node: str, model: str, keep_alive: str, timeout_s: float) -> None:
        """A model that does not chat is loaded by embedding nothing."""
        kept: dict[str, object] = {
            "model": model,
            "keep_alive": ollama_wire.keep(keep_alive),
            "options": {"num_ctx": self._num_ctx},
        }
        try:
            await self._asked(node, "/api/chat", kept | {"messages": []}, timeout_s)
        except Rejected as error:
            if "does not support chat" not in error.message:
                raise
            await self._asked(node, "/api/embed", kept | {"input": []}, timeout_s)

    async def _asked(self, node: str, path: str, body: Mapping[str, object], timeout_s: float) -> None:
        at = self._nodes[node]
        headers = {"content-type": "application/json", **at.headers}
        reply = await http.send(
            self._http, "POST", at.base + path, timeout_s=timeout_s, content=orjson.dumps(body), headers=headers
        )
        if reply.status_code != httpx.codes.OK:
            raise _refusal(reply, node, str(body["model"]))

    async def _get(self, node: str, path: str) -> httpx.Response:
        at = self._nodes[node]
        reply = await http.send(self._http, "GET", at.base + path, timeout_s=_ASK_S, headers=at.headers)
        if reply.status_code != httpx.codes.OK:
            raise _refusal(reply, node, "")
        return reply


def _refusal(reply: httpx.Response, node: str, model: str) -> ProviderError:
    error = ollama_wire.refusal(reply, node, model, Prompt(0, 0))
    if isinstance(error, ModelNotFound):
        error = replace(error, message=f"{error.message} Pull it: genai-spine models pull {model}")
    return error


def _unpulled(node: str, model: str, words: str) -> ProviderError:
    if "file does not exist" in words or "not found" in words:
        return ModelNotFound(f"{node} finds no `{model}` in its registry. Look its name and tag up. It says: {words}")
    return ServerError(f"{node} could not pull `{model}`. It says: {words}")


def _progress(node: str, line: dict[str, object]) -> Progress:
    completed, total = (value if isinstance(value := line.get(name), int) else 0 for name in ("completed", "total"))
    return Progress(node, str(line["status"]), completed, total)
