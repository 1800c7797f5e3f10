"""Anthropic: the Messages API over our own HTTP client, at Anthropic or at any server that speaks the same.

Nothing is retried here, and no beta is asked for. A key is needed at Anthropic's own address only: without one the provider is
known, says so, and refuses.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from providers import anthropic_batches, anthropic_reply, anthropic_wire, http, images
from providers.anthropic_stream import Reading
from providers.base import Able, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind
from providers.claude import Claude, claude, told
from providers.config import Config
from providers.errors import Broken, ModelNotFound, ProviderError, Refused, Unsupported
from providers.outbound import NOTHING, Guard, Listed
from providers.tagging import HERE, Tags

ADDRESS = "https://api.anthropic.com"
VERSION = "2023-06-01"

_NO_KEY = "There is no key for Anthropic. Set GENAI_ANTHROPIC_API_KEY and start again, or name another provider."
_NO_VECTORS = "Anthropic has no embeddings. Name another provider for them: ollama, local, openai or bedrock."
_CHATS = "/v1/messages"
_ASK_S = 5.0
_REMEMBER_S = 60.0
"""How long the list of models is believed: whoever looks whether we are ready asks for it all the time."""


class AnthropicProvider:
    """One node, named by its address. What the list of models says of a model goes before what its name tells."""

    name = "anthropic"
    traits = Traits(paid=True)

    def __init__(
        self,
        key: str | None = None,
        url: str = ADDRESS,
        *,
        slots: int = 16,
        chat_model: str = "claude-haiku-5-5",
        outbound: Listed = NOTHING,
        tags: Tags = HERE,
    ) -> None:
        at = http.address(url)
        self._node, self._base, self._slots, self._chat_model = at.name, at.base, slots, chat_model
        self._key = key
        self.missing = _NO_KEY if key is None and at.base == ADDRESS else ""
        self._headers = {"content-type": "application/json", "anthropic-version": VERSION, **at.headers}
        if key is not None:
            self._headers["x-api-key"] = key
        self._tags = tags
        self._http = http.client(Guard("operator", outbound))
        self._images = images.Fetcher(outbound)
        self._list: dict[str, dict[str, Any]] = {}
        self._listed = -_REMEMBER_S
        there = anthropic_batches.At(self._http, self._base, self._headers, self._known, fetches=self._base == ADDRESS)
        self._batches = None if self.missing else anthropic_batches.AnthropicBatches(there)

    def batches(self) -> anthropic_batches.AnthropicBatches | None:
        return self._batches

    def nodes(self) -> tuple[str, ...]:
        return (self._node,)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return self._slots

    def default_model(self, kind: Kind) -> str:  # noqa: ARG002 - the port's
        """For embeddings, too: a request for some then fails with the sentence that says who has them."""
        return self._chat_model

    def able(self, model: str) -> Able:
        return self._known(model).able()

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:
        if self.missing:
            raise Refused(self.missing)
        sent = anthropic_wire.chat(await self._guarded(call), self._known(call.model))
        if not sent.body.get("stream"):
            return anthropic_reply.read_chat((await self._post(node, sent.encoded(), call, None)).content, sent)
        reading = Reading(sent, call.on_tokens, call.on_delta)
        try:
            await self._post(node, sent.encoded(), call, reading.hear)
        except Broken as error:
            error.spent = error.spent or reading.spent()
            raise
        try:
            return reading.answer()
        except ProviderError as error:
            raise self._hidden(error) from None

    async def count(self, call: ChatCall, node: str) -> int:
        if self.missing:
            raise Refused(self.missing)
        sent = anthropic_wire.chat(await self._guarded(call), self._known(call.model))
        body = anthropic_wire.counted(sent)
        return anthropic_reply.read_count((await self._post(node, body, call, None, f"{_CHATS}/count_tokens")).content)

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:  # noqa: ARG002 - the port's
        raise Unsupported(_NO_VECTORS, {"fields": ["model"]})

    async def models(self) -> tuple[str, ...]:
        """Empty when it does not answer within 5 s. Raises Refused where the key is missing."""
        if self.missing:
            raise Refused(self.missing)
        try:
            return tuple(await self._all())
        except ProviderError:
            return ()

    async def shelf(self) -> Shelf:
        if self.missing:
            return Shelf((), (self.missing,))
        try:
            found = await self._all()
        except ProviderError as error:
            return Shelf((), (str(error),))
        return Shelf(tuple(anthropic_reply.described(name, self._known(name)) for name in found))

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._images.aclose()

    async def _guarded(self, call: ChatCall) -> ChatCall:
        """A server among ours could reach what a stranger's URL must not: its pictures are fetched here, where addresses are judged."""
        if images.far(call) and await self._http.is_inside(self._base):
            return await self._images.near(call)
        return call

    def _known(self, model: str) -> Claude:
        return told(claude(model), self._list.get(model, {}))

    async def _all(self) -> Mapping[str, dict[str, Any]]:
        """The list of models, from at most a minute ago. Raises ProviderError."""
        if time.monotonic() - self._listed >= _REMEMBER_S:
            self._list = await self._pages()
            self._listed = time.monotonic()
        return self._list

    async def _pages(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        after = ""
        while True:
            url = f"{self._base}/v1/models?limit=1000{after}"
            reply = await http.send(self._http, "GET", url, timeout_s=_ASK_S, headers=self._headers)
            if reply.status_code != httpx.codes.OK:
                raise self._hidden(anthropic_reply.refusal(reply, self._node, ""))
            page, last = anthropic_reply.read_models(reply.content)
            found |= {str(info["id"]): info for info in page}
            if last is None or not page:
                return found
            after = f"&after_id={last}"

    async def _post(
        self, node: str, body: bytes, call: ChatCall, heard: Callable[[bytes], None] | None, path: str = _CHATS
    ) -> httpx.Response:
        headers = {**self._headers, **self._tags.headers(self._base, call.tag)}
        url = self._base + path
        reply = await http.send(
            self._http, "POST", url, timeout_s=call.timeout_s, content=body, headers=headers, heard=heard
        )
        if reply.status_code == httpx.codes.OK:
            return reply
        error = self._hidden(anthropic_reply.refusal(reply, node, call.model))
        if isinstance(error, ModelNotFound):
            raise await self._naming_models(error, call.model)
        raise error

    async def _naming_models(self, error: ModelNotFound, model: str) -> ModelNotFound:
        names = await self.models()
        known = ", ".join(names) or "it does not say"
        return ModelNotFound(f"{error.message} Models there: {known}.", {"model": model, "models": list(names)})

    def _hidden(self, error: ProviderError) -> ProviderError:
        """A server, or a proxy before it, may quote the key that it was sent."""
        if self._key and self._key in error.message:
            return replace(error, message=error.message.replace(self._key, "…"))
        return error


def make(config: Config) -> AnthropicProvider:
    return AnthropicProvider(
        config.anthropic_key,
        config.anthropic_url,
        slots=config.anthropic_slots,
        chat_model=config.anthropic_chat_model,
        outbound=config.outbound,
        tags=config.tags,
    )
