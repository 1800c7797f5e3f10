"""Amazon Bedrock in one region: chats by Converse and ConverseStream, embeddings of Titan and Cohere by InvokeModel.

The HTTP client is ours; `providers/aws.py` signs. Without a region the provider is known, says so, and refuses: AWS's usual
places are not searched for somebody who may not want Bedrock at all.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import httpx

from providers import able, bedrock_reply, bedrock_wire, http, images
from providers.aws import Signer
from providers.base import Able, Model, Shelf, Traits
from providers.calls import ChatAnswer, ChatCall, EmbedAnswer, EmbedCall, Kind
from providers.config import Config
from providers.errors import Broken, ModelNotFound, NotRun, ProviderError, Refused, ServerError
from providers.outbound import NOTHING, Guard, Listed
from providers.tagging import HERE, Tags

NO_REGION = "Bedrock is not set up: set GENAI_BEDROCK_REGION, such as eu-central-1, or name another provider."

_ASK_S = 5.0
_REMEMBER_S = 60.0
_SIDE_BY_SIDE = 4
"""Calls for one request's embeddings at a time: Titan takes one text a call."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where calls go, and where the list of models is."""

    runtime: str
    control: str
    headers: Mapping[str, str]


class BedrockProvider:
    """One node: the region's address."""

    name = "bedrock"
    traits = Traits(paid=True)

    def __init__(
        self,
        region: str | None,
        *,
        url: str | None = None,
        key: str | None = None,
        slots: int = 8,
        chat_model: str = "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        embed_model: str = "amazon.titan-embed-text-v2:0",
        outbound: Listed = NOTHING,
        tags: Tags = HERE,
    ) -> None:
        self.missing = "" if region else NO_REGION
        self._place = _place(region or "no-region", url)
        self._tags = tags
        self._slots = slots
        self._models: dict[Kind, str] = {"chat": chat_model, "embed": embed_model}
        self._key = key
        self._signer = Signer(region or "", key)
        self._http = http.client(Guard("operator", outbound))
        self._images = images.Fetcher(outbound)
        self._list: tuple[Model, ...] = ()
        self._listed = -_REMEMBER_S

    def nodes(self) -> tuple[str, ...]:
        return (http.origin(self._place.runtime),)

    def slots(self, node: str, model: str) -> int:  # noqa: ARG002 - the port's
        return self._slots

    def default_model(self, kind: Kind) -> str:
        return self._models[kind]

    def able(self, model: str) -> Able:
        return bedrock_wire.able_of(model)

    async def chat(self, call: ChatCall, node: str) -> ChatAnswer:
        if self.missing:
            raise Refused(self.missing)
        able.check(call, self.able(call.model))
        if images.far(call):  # Bedrock takes pictures as bytes only
            call = await self._images.near(call)
        sent = bedrock_wire.chat(call)
        body = sent.encoded()
        if call.on_tokens is None and call.on_delta is None:
            return bedrock_reply.read_chat((await self._post(node, "converse", body, call)).content, sent)
        stream = bedrock_reply.Stream(sent, call.on_tokens, call.on_delta)
        try:
            await self._post(node, "converse-stream", body, call, stream.hear)
        except Broken as error:
            error.spent = error.spent or stream.reading.spent()
            raise
        try:
            return stream.reading.answer()
        except ProviderError as error:
            raise self._hidden(error) from None

    async def embed(self, call: EmbedCall, node: str) -> EmbedAnswer:
        """A call to the model for each text, or for some dozens of them. What was paid before one failed is told."""
        if self.missing:
            raise Refused(self.missing)
        if bedrock_wire.embedder(call.model) is None and call.model not in await self.models():
            raise await self._naming_models(ModelNotFound(f"{node} has no model `{call.model}`."), call.model)
        bodies = bedrock_wire.embeds(call)
        deadline = time.monotonic() + call.timeout_s
        done: list[httpx.Response] = []
        for start in range(0, len(bodies), _SIDE_BY_SIDE):
            left = replace(call, timeout_s=max(0.001, deadline - time.monotonic()))
            together = [self._post(node, "invoke", body, left) for body in bodies[start : start + _SIDE_BY_SIDE]]
            replies = await asyncio.gather(*together, return_exceptions=True)
            done += [reply for reply in replies if isinstance(reply, httpx.Response)]
            for reply in replies:
                if isinstance(reply, BaseException):
                    raise _partly(reply, done)
        return await asyncio.to_thread(bedrock_reply.read_embed, done, call)

    async def models(self) -> tuple[str, ...]:
        """Empty when it does not answer within 5 s. Raises Refused where nothing is set up."""
        if self.missing:
            raise Refused(self.missing)
        try:
            return tuple(model.name for model in await self._all())
        except ProviderError:
            return ()

    async def shelf(self) -> Shelf:
        if self.missing:
            return Shelf((), (self.missing,))
        try:
            return Shelf(await self._all())
        except ProviderError as error:
            return Shelf((), (str(error),))

    async def aclose(self) -> None:
        await self._http.aclose()
        await self._images.aclose()

    async def _all(self) -> tuple[Model, ...]:
        """The list of models, from at most a minute ago. Raises ProviderError."""
        if time.monotonic() - self._listed >= _REMEMBER_S:
            models, profiles = await asyncio.gather(
                self._get("/foundation-models"), self._get("/inference-profiles?maxResults=1000")
            )
            self._list = bedrock_reply.read_models(models, profiles)
            self._listed = time.monotonic()
        return self._list

    async def _get(self, path: str) -> bytes:
        url = self._place.control + path
        headers = await self._signer.headers("GET", url, b"", dict(self._place.headers), _ASK_S)
        reply = await http.send(self._http, "GET", url, timeout_s=_ASK_S, headers=headers)
        if reply.status_code != httpx.codes.OK:
            raise self._hidden(bedrock_reply.refusal(reply, http.origin(url), ChatCall("", (), _ASK_S)))
        return reply.content

    async def _post(
        self,
        node: str,
        verb: str,
        body: bytes,
        call: ChatCall | EmbedCall,
        heard: Callable[[bytes], None] | None = None,
    ) -> httpx.Response:
        if self.missing:
            raise Refused(self.missing)
        url = self._place.runtime + bedrock_wire.path(call.model, verb)
        plain = {"content-type": "application/json", **self._place.headers}
        headers = await self._signer.headers("POST", url, body, plain, call.timeout_s)
        headers |= self._tags.headers(self._place.runtime, call.tag)
        reply = await http.send(
            self._http, "POST", url, timeout_s=call.timeout_s, content=body, headers=headers, heard=heard
        )
        if reply.status_code == httpx.codes.OK:
            return reply
        error = self._hidden(bedrock_reply.refusal(reply, node, call))
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


def _partly(error: BaseException, done: list[httpx.Response]) -> BaseException:
    """Once some texts were paid for, a refusal of another one is not "surely not paid"."""
    if not isinstance(error, ProviderError) or not done:
        return error
    spent = bedrock_reply.spent_on(done)
    if isinstance(error, NotRun) and error.another_try_may_help:
        return ServerError(error.message, error.details, error.retry_after_s, spent)
    error.spent = error.spent or spent
    return error


def _place(region: str, url: str | None) -> _Place:
    if url is None:
        host = f"{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        return _Place(f"https://bedrock-runtime.{host}", f"https://bedrock.{host}", {})
    at = http.address(url)
    return _Place(at.base, at.base, at.headers)


def make(config: Config) -> BedrockProvider:
    return BedrockProvider(
        config.bedrock_region,
        url=config.bedrock_url,
        key=config.bedrock_key,
        slots=config.bedrock_slots,
        chat_model=config.bedrock_chat_model,
        embed_model=config.bedrock_embed_model,
        outbound=config.outbound,
        tags=config.tags,
    )
