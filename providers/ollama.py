"""Ollama: one or many servers, each a node that is named by its address.

Ollama queues (512 calls, then 503), so its queue is kept empty: the engine counts slots. A node that is full or cannot be
reached has not run the call, and nothing was paid: another node can have it at once.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import httpx
import orjson

from providers import able, http, images, ollama_chat, ollama_wire, tokens
from providers.base import Able, Model, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Image, Kind
from providers.config import Config
from providers.errors import ContextTooLong, ModelNotFound, ProviderError, Unsupported
from providers.ollama_wire import Prompt
from providers.outbound import NOTHING, Guard, Listed
from providers.tagging import HERE, Tags

_BIG = 1 << 18
"""Bytes from which an answer is read in a thread: 2048 vectors are 30 MB of JSON and would hold the event loop."""

_PER_MESSAGE = 5
"""Tokens of a chat template around each message, about."""

_ASK_S = 5.0
_SHOWS = 4
"""Models that a node is asked about side by side."""

_ASKED_FIRST = frozenset({"tools", "image_url", ollama_chat.THINKING})
"""What a call wants of its model that Ollama, of a model that lacks it, would drop or refuse: asked before the first such call."""


class OllamaProvider:
    """`name` and `traits` differ when the server is the double (`providers.fake`)."""

    def __init__(
        self,
        urls: tuple[str, ...],
        *,
        slots: int = 1,
        num_ctx: int = 8192,
        keep_alive: str = "30m",
        holds: int = 0,
        gather_s: float = 2.0,
        gpu_nodes: tuple[str, ...] = (),
        chat_model: str = "llama3.2:latest",
        embed_model: str = "nomic-embed-text:latest",
        name: str = "ollama",
        traits: Traits = Traits(paid=False),  # noqa: B008 - frozen
        outbound: Listed = NOTHING,
        tags: Tags = HERE,
    ) -> None:
        self.name = name
        self.traits = replace(traits, context_tokens=num_ctx)
        known = [http.address(with_scheme(url)) for url in urls]
        self._nodes = {each.name: each for each in known}
        self._slots = slots
        self._num_ctx = num_ctx
        self._keep_alive = keep_alive
        self.holds, self.gather_s = holds, gather_s
        self.gpu_nodes = frozenset(http.address(with_scheme(url)).name for url in gpu_nodes)
        self._ids = tags
        self._models: dict[Kind, str] = {"chat": chat_model, "embed": embed_model}
        self._http = http.client(Guard("operator", outbound))
        self._images = images.Fetcher(outbound)
        self._digests: dict[str, dict[str, str]] = {}
        self._able: dict[tuple[str, str], tuple[str, Able]] = {}
        """A node and a model's name to its digest and to what it can do, as the node last said."""

    def nodes(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return self._slots

    def default_model(self, kind: Kind) -> str:
        return self._models[kind]

    def able(self, model: str) -> Able:
        """As its node last said; of a model that was not seen yet, what Ollama's protocol has."""
        known = self._seen(_tagged(model)) or ollama_wire.UNKNOWN
        return replace(known, context_tokens=min(self._num_ctx, known.context_tokens or self._num_ctx))

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:
        if _ASKED_FIRST & set(able.wants(call)) and self._seen(_tagged(call.model)) is None:
            await self._see(node, _tagged(call.model), "")
        able.check(call, self.able(call.model))
        ollama_chat.refuse(call)
        prompt = self._measured(call)
        urls = [part.url for part in ollama_chat.parts(call) if isinstance(part, Image)]
        pictures = await self._images.packed(urls, call.timeout_s) if urls else {}
        body = ollama_chat.chat_body(call, self._num_ctx, self._keep_alive, pictures)
        answer = await self._answered(call, node, body, prompt)
        if call.logprobs is not None and answer.logprobs is None and answer.text:
            words = (
                f"{node} gave no log probabilities; Ollama 0.12.11 or later does. Update it, or leave `logprobs` out."
            )
            raise Unsupported(words, {"fields": ["logprobs"]}, spent=answer.spent)
        return answer

    async def _answered(self, call: ChatCall, node: str, body: bytes, prompt: Prompt) -> ChatAnswer:
        if not ollama_chat.is_streamed(call):
            return ollama_chat.read_chat((await self._post(node, "/api/chat", body, call, prompt)).content)
        reader = None if call.on_delta is None else ollama_chat.Reader(call.on_delta)
        reply = await self._post(node, "/api/chat", body, call, prompt, _both(reader, call.on_tokens))
        if reader is not None:
            reader(b"\n")  # its last line may be without one
        return ollama_chat.read_stream(reply.content)

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:
        """A text above the model's context is refused by Ollama itself: only it knows how long that is."""
        able.check(call, self.able(call.model))
        longest = max(call.texts, key=len, default="")
        prompt = Prompt(tokens.estimate(longest, self._num_ctx), self._num_ctx)
        body = ollama_wire.embed_body(call, self._num_ctx, self._keep_alive)
        reply = await self._post(node, "/api/embed", body, call, prompt)
        if len(reply.content) < _BIG:
            answer = ollama_wire.read_embed(reply.content, len(call.texts))
        else:
            answer = await asyncio.to_thread(ollama_wire.read_embed, reply.content, len(call.texts))
        if call.dimensions is not None and any(len(vector) != call.dimensions for vector in answer.vectors[:1]):
            got = len(answer.vectors[0])
            words = (
                f"`{call.model}` at {node} gave {got} dimensions instead of {call.dimensions}. Leave `dimensions` out."
            )
            raise Unsupported(words, {"fields": ["dimensions"]}, spent=answer.spent)
        return answer

    async def models(self) -> tuple[str, ...]:
        """Over all nodes. A node that does not answer within 5 s adds nothing."""
        answers = await asyncio.gather(*map(self._tags, self._nodes))
        return tuple(sorted({name for names in answers for name in names}))

    def digest(self, model: str) -> str | None:
        """Over all nodes that answered when somebody last asked for the models, which /ready does all the time."""
        named = _tagged(model)
        found = {digests[named] for digests in self._digests.values() if named in digests}
        return " ".join(sorted(found)) or None

    async def shelf(self) -> Shelf:
        """Over all nodes; a model is loaded where one of them has it in memory."""
        told = await asyncio.gather(*map(self._told, self._nodes))
        found: dict[str, Model] = {}
        for each in told:
            for model in each.models:
                if model.loaded or model.name not in found:
                    found[model.name] = model
        away = tuple(why for each in told for why in each.away)
        return Shelf(tuple(found[name] for name in sorted(found)), away, whole=True)

    async def loaded(self, node: str) -> Mapping[str, bool] | None:
        """What it has in memory, and whether on a GPU; None when it does not answer within 5 s."""
        try:
            reply = await self._get(node, "/api/ps")
        except ProviderError:
            return None
        return ollama_wire.read_loaded(reply.content) if reply.status_code == httpx.codes.OK else None

    async def _told(self, node: str) -> Shelf:
        try:
            tags, loaded = await asyncio.gather(self._get(node, "/api/tags"), self._get(node, "/api/ps"))
        except ProviderError as error:
            return Shelf((), (str(error),))
        await self._see_all(node, tags.content)
        return Shelf(tuple(map(self._described, ollama_wire.read_shelf(tags.content, loaded.content))))

    def _described(self, model: Model) -> Model:
        """With what its server says of it, where it does; its list says little."""
        seen = self._seen(model.name)
        if seen is None or seen.chat is None:
            return model
        kind: Kind = "chat" if seen.chat else "embed"
        return replace(model, kind=kind, context_tokens=model.context_tokens or self.able(model.name).context_tokens)

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._images.aclose()

    async def _tags(self, node: str) -> tuple[str, ...]:
        try:
            reply = await self._get(node, "/api/tags")
        except ProviderError:
            return ()
        self._digests[node] = ollama_wire.read_digests(reply.content)
        await self._see_all(node, reply.content)
        return ollama_wire.read_models(reply.content)

    def _seen(self, model: str) -> Able | None:
        """By the first node that has said it."""
        return next((self._able[node, model][1] for node in self._nodes if (node, model) in self._able), None)

    async def _see_all(self, node: str, tags: bytes) -> None:
        """What its models can do, of those that are new or have other weights than when they were seen."""
        digests = ollama_wire.read_digests(tags)
        known = dict(self._able.values())
        self._able |= {(node, name): (each, known[each]) for name, each in digests.items() if each in known}
        unseen = [name for name in digests if self._able.get((node, name), ("",))[0] != digests[name]]
        for start in range(0, len(unseen), _SHOWS):
            batch = unseen[start : start + _SHOWS]
            await asyncio.gather(*(self._see(node, name, digests[name]) for name in batch))

    async def _see(self, node: str, model: str, digest: str) -> None:
        """A node that does not say leaves what was known."""
        at = self._nodes[node]
        try:
            reply = await http.send(
                self._http,
                "POST",
                f"{at.base}/api/show",
                timeout_s=_ASK_S,
                content=orjson.dumps({"model": model}),
                headers={"content-type": "application/json", **at.headers},
            )
        except ProviderError:
            return
        if reply.status_code == httpx.codes.OK:
            self._able[node, model] = digest, ollama_wire.read_able(reply.content) or ollama_wire.UNKNOWN

    async def _get(self, node: str, path: str) -> httpx.Response:
        at = self._nodes[node]
        return await http.send(self._http, "GET", at.base + path, timeout_s=_ASK_S, headers=at.headers)

    def _measured(self, call: ChatCall) -> Prompt:
        """Raises ContextTooLong before anything is sent: an old Ollama would drop the beginning without a word."""
        room = self._num_ctx
        used = 0
        for message in call.messages:
            used += tokens.estimate(message.content, room) + _PER_MESSAGE
        for tool in call.tools:
            used += tokens.estimate(f"{tool.name} {tool.description} {tool.parameters or ''}", room)
        if used > room:
            raise ollama_wire.too_long(Prompt(used, room))
        return Prompt(used, room)

    async def _post(
        self,
        node: str,
        path: str,
        body: bytes,
        call: ChatCall | EmbedCall,
        prompt: Prompt,
        heard: Callable[[bytes], None] | None = None,
    ) -> httpx.Response:
        at = self._nodes[node]
        headers = {"content-type": "application/json", **at.headers, **self._ids.headers(at.base, call.tag)}
        reply = await http.send(
            self._http, "POST", at.base + path, timeout_s=call.timeout_s, content=body, headers=headers, heard=heard
        )
        if reply.status_code == httpx.codes.OK:
            return reply
        error = ollama_wire.refusal(reply, node, call.model, prompt)
        if isinstance(error, ModelNotFound):
            raise await self._naming_models(error, call.model)
        if isinstance(error, ContextTooLong) and error.details["context_tokens"] == prompt.context:
            raise await self._naming_context(error, node, call.model, prompt)
        raise error

    async def _naming_models(self, error: ModelNotFound, model: str) -> ModelNotFound:
        names = await self.models()
        known = ", ".join(names) or "none at all"
        message = f"{error.message} Models there: {known}. Pull it with `ollama pull {model}`, or name another one."
        return ModelNotFound(message, {"model": model, "models": list(names)})

    async def _naming_context(self, error: ContextTooLong, node: str, model: str, prompt: Prompt) -> ContextTooLong:
        """An embedding model's context is often far below `num_ctx`; Ollama says which one it loaded."""
        try:
            reply = await self._get(node, "/api/ps")
        except ProviderError:
            return error
        context = ollama_wire.read_context(reply.content, model)
        if context is None:
            return error
        return ollama_wire.too_long(Prompt(max(prompt.tokens, context + 1), context))


def _both(reader: Callable[[bytes], None] | None, told: Callable[[int], None] | None) -> Callable[[bytes], None] | None:
    """Lines are parsed while they come only for somebody who reads along."""
    counting = None if told is None else _counting(told)
    if reader is None or counting is None:
        return reader or counting

    def heard(piece: bytes) -> None:
        reader(piece)
        counting(piece)

    return heard


def _counting(told: Callable[[int], None]) -> Callable[[bytes], None]:
    """A line of the stream is a token; exactly how many there were, its last line says."""
    lines = 0

    def heard(piece: bytes) -> None:
        nonlocal lines
        lines += piece.count(b"\n")
        told(lines)

    return heard


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def with_scheme(url: str) -> str:
    """People write `gpu-1:11434`, as in OLLAMA_HOST."""
    return (url if "://" in url else f"http://{url}").rstrip("/")


def make(config: Config) -> OllamaProvider:
    return OllamaProvider(
        config.ollama_urls,
        slots=config.ollama_slots,
        num_ctx=config.ollama_num_ctx,
        keep_alive=config.ollama_keep_alive,
        holds=config.ollama_loaded,
        gather_s=config.ollama_gather_s,
        gpu_nodes=config.ollama_gpu_nodes,
        chat_model=config.ollama_chat_model,
        embed_model=config.ollama_embed_model,
        outbound=config.outbound,
        tags=config.tags,
    )
