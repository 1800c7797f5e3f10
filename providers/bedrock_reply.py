"""Bedrock's Converse as pure functions: what an answer, a stream or a refusal means."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from providers import counted, tokens
from providers.anthropic_reply import answer, too_long
from providers.anthropic_stream import Reading
from providers.anthropic_wire import Sent
from providers.base import Model
from providers.bedrock_wire import embedder, known
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedAnswer, EmbedCall, Spent
from providers.errors import (
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    TimedOut,
    Unreadable,
    Unsupported,
)
from providers.eventstream import Frame, Frames
from providers.http import retry_after

_WHO = "Bedrock"
_REASONS = {"guardrail_intervened": "refusal", "content_filtered": "refusal"}
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
_COUNTS = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
}


def read_chat(body: bytes, sent: Sent) -> ChatAnswer:
    """Raises Unreadable."""
    reply = _object(body)
    try:
        content = [_block(block) for block in reply["output"]["message"]["content"]]
        message = {"content": content, "stop_reason": _reason(reply.get("stopReason")), "usage": _usage(reply)}
    except (KeyError, TypeError, AttributeError):
        raise Unreadable("Bedrock's answer holds no whole message.") from None
    return answer(message, sent, _WHO)


def _reason(said: Any) -> Any:
    if said in _MALFORMED:
        raise Unreadable(f"The model's answer was not well-formed: {said}.")
    return _REASONS.get(said, said)


def _usage(reply: dict[str, Any]) -> dict[str, Any]:
    """Converse, too, counts what a cache held beside `inputTokens`."""
    said = reply.get("usage") or {}
    tier = (reply.get("serviceTier") or {}).get("type")
    used = {name: said[told] for told, name in _COUNTS.items() if said.get(told) is not None}
    return used | ({"service_tier": tier} if isinstance(tier, str) else {})


def _block(said: dict[str, Any]) -> dict[str, Any]:
    if "toolUse" in said:
        use = said["toolUse"]
        return {"type": "tool_use", "id": use["toolUseId"], "name": use["name"], "input": use["input"]}
    if "reasoningContent" in said:
        return {"type": "thinking", "thinking": said["reasoningContent"].get("reasoningText", {}).get("text", "")}
    return {"type": "text", "text": said["text"]} if "text" in said else {"type": "other"}


class Stream:
    """A ConverseStream, read as it comes: each event in Anthropic's words, to the reader of those."""

    def __init__(
        self, sent: Sent, on_tokens: Callable[[int], None] | None, on_delta: Callable[[Delta], None] | None
    ) -> None:
        self.reading = Reading(sent, on_tokens, on_delta, _WHO)
        self._frames = Frames()
        self._begun: set[int] = set()
        self._reason: Any = None
        self._started = False

    def hear(self, piece: bytes) -> None:
        """Some bytes of the answer's body, whatever its status is."""
        try:
            for frame in self._frames.take(piece):
                self._frame(frame)
        except Unreadable as error:
            self.reading.fail(error)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.reading.fail(Unreadable(f"Bedrock's stream holds what is no event of it: {error}."))

    def _frame(self, frame: Frame) -> None:
        said = orjson.loads(frame.payload)
        if frame.headers.get(":message-type") != "event":
            name = frame.headers.get(":exception-type") or frame.headers.get(":error-code") or ""
            self.reading.fail(_midway(name, said, started=self._started))
            return
        for event in self._events(frame.headers.get(":event-type"), said):
            self.reading.event(event)

    def _events(self, name: str | None, said: dict[str, Any]) -> Iterator[dict[str, Any]]:
        index = said.get("contentBlockIndex", 0)
        match name:
            case "messageStart":
                self._started = True
                yield {"type": "message_start", "message": {"usage": {}}}
            case "contentBlockStart" if "toolUse" in said["start"]:
                use = said["start"]["toolUse"]
                yield self._begin(index, {"type": "tool_use", "id": use["toolUseId"], "name": use["name"]})
            case "contentBlockDelta":
                yield from self._more(index, said["delta"])
            case "contentBlockStop" if index in self._begun:
                yield {"type": "content_block_stop", "index": index}
            case "messageStop":
                self._reason = _reason(said["stopReason"])
            case "metadata":
                yield {"type": "message_delta", "delta": {"stop_reason": self._reason}, "usage": _usage(said)}
                yield {"type": "message_stop"}

    def _begin(self, index: int, block: dict[str, Any]) -> dict[str, Any]:
        self._begun.add(index)
        return {"type": "content_block_start", "index": index, "content_block": block}

    def _more(self, index: int, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Only a tool's block is told to begin; the others begin with their first piece."""
        if "toolUse" in delta:
            piece = {"type": "input_json_delta", "partial_json": delta["toolUse"]["input"]}
        elif "reasoningContent" in delta:
            piece = {"type": "thinking_delta", "thinking": delta["reasoningContent"].get("text", "")}
        elif "text" in delta:
            piece = {"type": "text_delta", "text": delta["text"]}
        else:
            return
        if index not in self._begun:
            yield self._begin(index, {"type": "text" if piece["type"] == "text_delta" else "thinking"})
        yield {"type": "content_block_delta", "index": index, "delta": piece}


_BY_KIND: Mapping[str, type[ProviderError]] = {
    "accessdenied": Refused,
    "unrecognizedclient": Refused,
    "invalidsignature": Refused,
    "expiredtoken": Refused,
    "missingauthenticationtoken": Refused,
    "incompletesignature": Refused,
    "throttling": RateLimited,
    "servicequotaexceeded": RateLimited,
    "modelnotready": Overloaded,
    "serviceunavailable": Overloaded,
    "modeltimeout": TimedOut,
    "internalserver": ServerError,
    "modelerror": ServerError,
    "modelstreamerror": ServerError,
    "resourcenotfound": ModelNotFound,
    "validation": Rejected,
    "conflict": Rejected,
}
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: Refused,
    403: Refused,
    408: TimedOut,
    429: RateLimited,
    503: Overloaded,
    504: TimedOut,
}
_FIGURES = (
    re.compile(r"prompt is too long: (?P<prompt>\d+) tokens > (?P<context>\d+)"),
    re.compile(r"Max input tokens: (?P<context>\d+), request input token count: (?P<prompt>\d+)"),
    re.compile(r"exceed context limit: (?P<prompt>\d+) \+ \d+ > (?P<context>\d+)"),
)
_TOO_LONG = ("too long", "too many input tokens", "maximum context length", "exceeds the maximum number of tokens")
_NO_MODEL = ("model identifier is invalid", "on-demand throughput isn")
_CANNOT = ("not supported", "doesn't support", "does not support", "deprecated for this model")


def refusal(reply: httpx.Response, node: str, call: ChatCall | EmbedCall) -> ProviderError:
    """What a status other than 200 means. ModelNotFound comes without the names of the models that there are."""
    wait_s = retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    kind = _kind(reply.headers.get("x-amzn-errortype", ""))
    words = _words(reply.content)
    if words is None or (not kind and reply.status_code == httpx.codes.NOT_FOUND):
        return _foreign(reply, node, wait_s)
    return _meant(kind, words, reply.status_code, node, call, wait_s)


def _meant(
    kind: str, words: str, status: int, node: str, call: ChatCall | EmbedCall, wait_s: float | None
) -> ProviderError:
    said = f"{node} says: {words}"
    meaning = _BY_KIND.get(kind) or _BY_STATUS.get(status, ServerError if status >= 500 else Rejected)
    if meaning is Rejected:
        lower = words.lower()
        if any(pattern.search(words) for pattern in _FIGURES) or any(sign in lower for sign in _TOO_LONG):
            return _measured(words, said, call)
        if any(sign in words for sign in _NO_MODEL):
            meaning = ModelNotFound
        elif any(sign in words for sign in _CANNOT):
            meaning = Unsupported
    if meaning is ModelNotFound:
        return ModelNotFound(f"{node} cannot call `{call.model}`: {words}")
    return meaning(said, retry_after_s=wait_s)


def _kind(told: str) -> str:
    """`ThrottlingException:http://…` and `throttlingException` are `throttling`."""
    return told.partition(":")[0].rpartition("#")[2].removesuffix("Exception").lower()


def _measured(words: str, said: str, call: ChatCall | EmbedCall) -> ProviderError:
    """Its own figures where it tells them; else a guess of the prompt, above what the model is known to hold."""
    found = next((match for pattern in _FIGURES if (match := pattern.search(words)) is not None), None)
    if found is not None:
        return too_long(int(found["prompt"]), int(found["context"]), said)
    texts = [message.content for message in call.messages] if isinstance(call, ChatCall) else [max(call.texts, key=len)]
    about = sum(map(tokens.estimate, texts))
    holds = known(call.model).context_tokens if isinstance(call, ChatCall) else None
    context = holds or max(1, about - 1)
    return too_long(max(about, context + 1), context, said)


def _midway(name: str, said: dict[str, Any], *, started: bool) -> ProviderError:
    """Before the message began it is a refusal like any other; after that, something was made."""
    words = f"Bedrock says: {name}: {said.get('message', said)}"
    meaning = _BY_KIND.get(_kind(name), ServerError)
    return meaning(words) if not started or meaning is TimedOut else ServerError(words)


def _foreign(reply: httpx.Response, node: str, wait_s: float | None) -> ProviderError:
    """An answer without Bedrock's `{"message": …}`: a proxy in front of it, or another server."""
    status = reply.status_code
    said = f"{node} answered {status}: {_quoted(reply.content)}"
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return Rejected(f"{said} The call is too large.")
    if status in _BY_STATUS or status >= 500:
        return _BY_STATUS.get(status, ServerError)(said, retry_after_s=wait_s)
    return Unreadable(f"{said} This address is not Bedrock's: mend GENAI_BEDROCK_BASE_URL, or leave it out.")


def _words(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)
        words = found.get("message", found.get("Message"))
    except (orjson.JSONDecodeError, AttributeError):
        return None
    return words if isinstance(words, str) else None


def _quoted(body: bytes) -> str:
    return repr(body[:200].decode(errors="replace").strip()) + ("…" if len(body) > 200 else "") + "."


def _object(body: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"Bedrock's answer is not JSON ({error}): {_quoted(body)}") from None
    if not isinstance(reply, dict):
        raise Unreadable(f"Bedrock's answer is not a JSON object: {_quoted(body)}")
    return reply


def spent_on(replies: list[httpx.Response]) -> Spent:
    """What a part of a call's embeddings has cost."""
    return _spent([_count(reply, _object(reply.content)) for reply in replies])


def read_embed(replies: list[httpx.Response], call: EmbedCall) -> EmbedAnswer:
    """One vector per text out of as many answers as were needed. Raises Unreadable."""
    vectors: list[tuple[float, ...]] = []
    counts: list[int | None] = []
    for reply in replies:
        said = _object(reply.content)
        counts.append(_count(reply, said))
        try:
            found = [said["embedding"]] if embedder(call.model) == "titan" else _floats(said["embeddings"])
            vectors += map(_unit, found)
        except (KeyError, TypeError, ValueError):
            raise Unreadable("Bedrock's answer holds no vectors.", spent=_spent(counts)) from None
    if len(vectors) != len(call.texts) or len({len(vector) for vector in vectors}) > 1:
        what = f"one vector, of one length, for each of {len(call.texts)} texts"
        raise Unreadable(f"Bedrock's answer does not hold {what}.", spent=_spent(counts))
    spent = _spent(counts)
    guessed = Spent(sum(map(tokens.estimate, call.texts)), estimated=True)
    return EmbedAnswer(tuple(vectors), guessed if spent.estimated else spent)


def _floats(said: Any) -> list[list[float]]:
    """Older models give the vectors, newer ones by the type that was asked for."""
    return list(said["float"] if isinstance(said, dict) else said)


def _spent(counts: list[int | None]) -> Spent:
    prompt = counted.total(*counts)
    return Spent(prompt or 0, estimated=not prompt or None in counts)


def _count(reply: httpx.Response, said: dict[str, Any]) -> int | None:
    told = reply.headers.get("x-amzn-bedrock-input-token-count", "")
    return counted.count(int(told[:_DIGITS]) if told.isdecimal() else said.get("inputTextTokenCount"))


_DIGITS = 11
"""More than a count has: so many are too many, and thousands would not be read at all."""


def _unit(vector: list[float]) -> tuple[float, ...]:
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError(length)
    return tuple(each / length for each in vector)


def read_models(models: bytes, profiles: bytes) -> tuple[Model, ...]:
    """What can be called without buying throughput: models on demand, and inference profiles."""
    found: dict[str, Model] = {}
    kinds: dict[str, Any] = {}
    for each in _listed(models, "modelSummaries"):
        name, outputs = str(each.get("modelId")), each.get("outputModalities") or ()
        kind = "embed" if "EMBEDDING" in outputs else "chat" if "TEXT" in outputs else None
        kinds[name] = kind
        if kind is not None and "ON_DEMAND" in (each.get("inferenceTypesSupported") or ()):
            found[name] = _described(name, kind)
    for each in _listed(profiles, "inferenceProfileSummaries"):
        name = str(each.get("inferenceProfileId"))
        kind = kinds.get(name.partition(".")[2], "chat")
        if kind is not None:
            found[name] = _described(name, kind)
    return tuple(found[name] for name in sorted(found))


def _described(name: str, kind: Any) -> Model:
    return Model(name, kind, True, known(name).context_tokens if kind == "chat" else None)


def _listed(body: bytes, name: str) -> list[dict[str, Any]]:
    try:
        return [each for each in orjson.loads(body)[name] if isinstance(each, dict)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return []
