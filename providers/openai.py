"""OpenAI, and every server that speaks its format: one class, of which `Config.compatible` makes a provider for each name.

Own HTTP and not the official SDK: the decision record `openai-without-its-sdk` says why. Streamed for whoever is told how far the answer is
or reads along; else whole, which costs less. `able` is known of OpenAI's own models; of others it is what their settings say.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

import httpx

from providers import (
    able,
    http,
    images,
    openai_batches,
    openai_errors,
    openai_models,
    openai_moderation,
    openai_wire,
    tokens,
)
from providers.base import Able, Model, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind, ModerateAnswer, ModerateCall
from providers.config import OPENAI, Config, Server
from providers.errors import ModelNotFound, ProviderError, Refused, Unsupported
from providers.openai_stream import Reading
from providers.outbound import NOTHING, Guard, Listed
from providers.tagging import HERE, Tags
from schemas.chat import Params

_BIG = 1 << 18
"""Bytes from which vectors are read in a thread: they would hold the event loop."""

_ASK_S = 5.0
_NAMED = 50
"""Models that a sentence names."""

_Path = Literal["chat", "embed", "moderate"]
_PATHS: Mapping[_Path, str] = {"chat": "/chat/completions", "embed": "/embeddings", "moderate": "/moderations"}
_Call = ChatCall | EmbedCall | ModerateCall
_ALL = frozenset(Params.model_fields) | {"dimensions"}

CANNOT = _ALL | {
    "chat",
    "embeddings",
    "image_url",
    "logprobs",
    "response_format",
    "seed",
    "stop",
    "stream_options",
    "temperature",
    "tools",
}
"""What settings may say that a server cannot do."""


class OpenAIProvider:
    """The servers of one name. Without its key it is there, says what is missing and refuses every call."""

    def __init__(self, server: Server, outbound: Listed = NOTHING, tags: Tags = HERE) -> None:
        self.name = server.name
        self.missing = server.missing
        self.traits = Traits(paid=server.paid, context_tokens=server.context_tokens)
        self._server = server
        self._nodes = _nodes(server.urls)
        self._headers = _headers(server)
        self._tags = tags
        self._max_name = "max_tokens" if server.style == "compatible" else "max_completion_tokens"
        self._able = _able(server)
        self.moderation_model = "omni-moderation-latest" if server.style == "openai" else ""
        self._http = http.client(Guard("operator", outbound), extra=server.headers)
        self._images = images.Fetcher(outbound)
        at = openai_batches.At(
            self._http,
            self._nodes,
            self._headers,
            self._max_name,
            self.able,
            self._asked,
            server.key,
            fetches=server.urls == OPENAI.urls,
        )
        has_batches = server.style == "openai" and not server.missing
        self._batches = openai_batches.OpenAIBatches(at) if has_batches else None

    def batches(self) -> openai_batches.OpenAIBatches | None:
        """At OpenAI itself: what others call so differs in more than its address."""
        return self._batches

    def has_flex(self, model: str) -> bool:
        return self._server.style == "openai" and openai_models.has_flex(model)

    def nodes(self) -> tuple[str, ...]:
        return tuple(self._nodes)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return self._server.slots

    def default_model(self, kind: Kind) -> str:
        return self._server.chat_model if kind == "chat" else self._server.embed_model

    def able(self, model: str) -> Able:
        """By the model's name where the server is OpenAI itself."""
        return openai_models.able(model) if self._server.style == "openai" else self._able

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:
        effort = call.params.get("reasoning_effort")
        known = openai_models.able(call.model, effort) if self._server.style == "openai" else self._able
        if known.chat is False:
            raise Unsupported(f"`{call.model}` of {self.name} does not chat. Name another model.")
        able.check(call, known)
        call = await self._guarded(call, node)
        streamed = call.on_tokens is not None or call.on_delta is not None
        body = openai_wire.chat_body(
            call,
            streamed=streamed,
            max_name=self._max_name,
            counts_streams="stream_options" not in self._server.cannot,
            model=self._server.style != "azure",
        )
        if not streamed:
            reply = await self._post(node, "chat", body, call)
            return openai_wire.read_chat(reply.content, call, node)
        reading = Reading(call, node, lambda error: openai_errors.in_stream(error, self._asked(node, call)))
        reply = await self._post(node, "chat", body, call, reading)
        try:
            return reading.answer(reply.content)
        except ProviderError as error:  # its words came piece by piece, before anybody looked for the key in them
            told = http.masked(error.message.encode(errors="replace"), self._headers, self._server.headers, good=False)
            error.message = openai_errors.masked(told.decode(), self._server.key)
            raise await self._naming_models(error) if isinstance(error, ModelNotFound) else error from None

    async def _guarded(self, call: ChatCall, node: str) -> ChatCall:
        """A server among ours could reach what a stranger's URL must not: its pictures are fetched here, where addresses are judged."""
        if not images.far(call) or (self._server.paid and not await self._http.is_inside(self._nodes[node].base)):
            return call
        return await self._images.near(call)

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:
        known = self.able(call.model)
        if known.embed is False:
            raise Unsupported(f"`{call.model}` of {self.name} makes no embeddings. Name another model.")
        able.check(call, known)
        packed = self._server.style != "compatible"
        body = openai_wire.embed_body(call, packed=packed, model=self._server.style != "azure")
        reply = await self._post(node, "embed", body, call)
        if len(reply.content) < _BIG:
            return openai_wire.read_embed(reply.content, call, node)
        return await asyncio.to_thread(openai_wire.read_embed, reply.content, call, node)

    async def moderate(self, call: ModerateCall, node: str) -> ModerateAnswer:
        if not self.able(call.model).moderates:
            raise Unsupported(f"`{call.model}` of {self.name} is not made for moderation. Name another model.")
        reply = await self._post(node, "moderate", openai_moderation.body(call), call)
        return openai_moderation.read(reply.content, call, node)

    async def models(self) -> tuple[str, ...]:
        """Over all nodes; one that does not answer within 5 s adds nothing. Raises Refused where the key is missing."""
        if self.missing:
            raise Refused(self.missing)
        return tuple(model.name for model in (await self.shelf()).models)

    async def shelf(self) -> Shelf:
        """Over all nodes."""
        if self.missing:
            return Shelf((), (self.missing,))
        told = await asyncio.gather(*map(self._told, self._nodes))
        found = {model.name: model for each in told for model in each.models}
        return Shelf(tuple(found[name] for name in sorted(found)), tuple(why for each in told for why in each.away))

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._images.aclose()

    async def _told(self, node: str) -> Shelf:
        at = self._nodes[node]
        headers = {**self._headers, **at.headers}
        azure = self._server.style == "azure"
        path = f"/openai/models?api-version={self._version()}" if azure else "/models"
        try:
            reply = await http.send(self._http, "GET", at.base + path, timeout_s=_ASK_S, headers=headers)
        except ProviderError as error:
            return Shelf((), (openai_errors.masked(str(error), self._server.key),))
        if reply.status_code != httpx.codes.OK:
            asked = openai_errors.Asked(node, "", 0, secret=self._server.key, setting=self._server.setting)
            return Shelf((), (str(openai_errors.refusal(reply, asked, datetime.now(UTC))),))
        found = self._azure_models() if azure else map(self._model, openai_wire.read_models(reply.content))
        return Shelf(tuple(found))

    def _azure_models(self) -> list[Model]:
        """Its list is of what could be deployed, not of what is: only the defaults are known by name."""
        named = (("chat", self._server.chat_model), ("embed", self._server.embed_model))
        return [Model(name, "chat" if kind == "chat" else "embed") for kind, name in named if name]

    def _model(self, told: Mapping[str, object]) -> Model:
        """Its context: vLLM says `max_model_len`, OpenRouter `context_length`, Groq `context_window`; llama.cpp has it in `meta`."""
        name = str(told["id"])
        known = self.able(name)
        meta = told.get("meta")
        places = [told.get(key) for key in ("max_model_len", "context_length", "context_window", "max_context_length")]
        places.append(meta.get("n_ctx") if isinstance(meta, dict) else None)
        context = next((each for each in places if isinstance(each, int)), known.context_tokens)
        kind: Kind | None = "embed" if known.chat is False else "chat" if known.embed is False else None
        return Model(name, kind, context_tokens=context)

    async def _post(
        self, node: str, kind: _Path, body: bytes, call: _Call, reading: Reading | None = None
    ) -> httpx.Response:
        """Raises the refusal of any status but 200."""
        if self.missing:
            raise Refused(self.missing)
        at = self._nodes[node]
        tagged = self._tags.headers(at.base, call.tag)
        headers = {"content-type": "application/json", **self._headers, **at.headers, **tagged}
        heard = None if reading is None else reading.feed
        reply = await http.send(
            self._http,
            "POST",
            at.base + self._path(kind, call.model),
            timeout_s=call.timeout_s,
            content=body,
            headers=headers,
            heard=heard,
        )
        if reply.status_code == httpx.codes.OK:
            return reply
        error = openai_errors.refusal(reply, self._asked(node, call), datetime.now(UTC))
        raise await self._naming_models(error) if isinstance(error, ModelNotFound) else error

    def _path(self, kind: _Path, model: str) -> str:
        if self._server.style != "azure":
            return _PATHS[kind]
        return f"/openai/deployments/{quote(model, safe='')}{_PATHS[kind]}?api-version={self._version()}"

    def _version(self) -> str:
        return quote(self._server.api_version, safe="")

    def _asked(self, node: str, call: _Call) -> openai_errors.Asked:
        if isinstance(call, ChatCall):
            prompt = sum(tokens.estimate(message.content) for message in call.messages)
        else:
            prompt = max(map(tokens.estimate, call.texts), default=0)
        known = self.able(call.model)
        return openai_errors.Asked(
            node,
            call.model,
            prompt,
            known.context_tokens or self._server.context_tokens,
            self._server.key,
            self._server.setting,
        )

    async def _naming_models(self, error: ModelNotFound) -> ModelNotFound:
        names = [model.name for model in (await self.shelf()).models]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        known = ", ".join(names[:_NAMED]) + more or "none that it tells of"
        return ModelNotFound(f"{error.message} Models there: {known}.", error.details | {"models": names})


def _nodes(urls: tuple[str, ...]) -> dict[str, http.Address]:
    """By scheme, host and port; by the whole address where two servers share those."""
    known = [http.address(url) for url in urls]
    names = [each.name for each in known]
    return {each.name if names.count(each.name) == 1 else each.base: each for each in known}


def _headers(server: Server) -> dict[str, str]:
    if not server.key:
        return dict(server.headers)
    key = {"api-key": server.key} if server.style == "azure" else {"authorization": f"Bearer {server.key}"}
    return {**key, **server.headers}


def _able(server: Server) -> Able:
    """What nobody says may be tried."""

    def can(name: str) -> bool | None:
        return False if name in server.cannot else None

    return Able(
        chat=can("chat"),
        embed=can("embeddings"),
        schema=can("response_format"),
        tools=can("tools"),
        images=can("image_url"),
        logprobs=can("logprobs"),
        temperature=can("temperature"),
        stop=can("stop"),
        seed=can("seed"),
        params=_ALL - server.cannot,
        context_tokens=server.context_tokens,
    )


def make(config: Config) -> OpenAIProvider:
    return OpenAIProvider(config.openai, config.outbound, config.tags)
