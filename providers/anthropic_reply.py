"""Anthropic's Messages format as pure functions: what an answer or a refusal means.

`tests/providers/test_anthropic_reply.py` reads replies of the recorded shapes with them.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import httpx
import orjson

from providers import counted
from providers.anthropic_wire import ANSWER, Sent
from providers.base import Model
from providers.calls import ChatAnswer, Spent, ToolCall
from providers.claude import Claude
from providers.errors import (
    ContextTooLong,
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
from providers.http import retry_after

_FINISH: Mapping[str, Literal["stop", "length", "tool_calls", "content_filter"]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",  # a long turn was interrupted: what there is of it is not whole
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def read_chat(body: bytes, sent: Sent) -> ChatAnswer:
    """Raises Unreadable, and ServerError for an error that comes with status 200."""
    reply = _object(body)
    if reply.get("type") == "error":
        raise ServerError(f"Anthropic says: {_said(reply)}")
    return answer(reply, sent)


def answer(message: dict[str, Any], sent: Sent, who: str = "Anthropic") -> ChatAnswer:
    """A whole message, however it came. Raises Unreadable."""
    used = message.get("usage")
    known = spent(used if isinstance(used, dict) else {})
    content, reason = message.get("content"), message.get("stop_reason")
    if not isinstance(content, list) or not isinstance(reason, str):
        raise Unreadable(f"{who}'s answer holds no whole message.", spent=known)
    blocks = [block for block in content if isinstance(block, dict)]
    finish = _FINISH.get(reason, "stop")
    calls = tuple(_called(block, known) for block in blocks if block.get("type") == "tool_use")
    text = _joined(blocks, "text")
    if sent.tool:
        text, calls = unwrapped(calls, sent, text), ()
        finish = "stop" if finish == "tool_calls" else finish
    elif not blocks and finish != "content_filter" and not known.output_tokens:
        raise Unreadable(f"{who}'s answer holds nothing.", spent=known)
    details = message.get("stop_details")
    why = details.get("explanation") if isinstance(details, dict) else None
    refusal = (why or None) if finish == "content_filter" else None  # what was said stands in the text
    thoughts = _joined(blocks, "thinking") or None
    model = message.get("model")
    named = model if isinstance(model, str) and model else None
    return ChatAnswer(text, finish, known, calls, refusal, thoughts, None, named)


def _joined(blocks: list[dict[str, Any]], kind: str) -> str:
    return "".join(str(block.get(kind, "")) for block in blocks if block.get("type") == kind)


def _called(block: dict[str, Any], known: Spent) -> ToolCall:
    """`input` is an object where the answer came whole, and the text of one where it came in pieces."""
    given, name = block.get("input"), block.get("name")
    if not isinstance(name, str):
        raise Unreadable("The answer holds a tool call without a name.", spent=known)
    text = given if isinstance(given, str) else orjson.dumps(given or {}).decode()
    return ToolCall(str(block.get("id", "")), name, text)


def unwrapped(calls: tuple[ToolCall, ...], sent: Sent, text: str) -> str:
    """The answer that was given as a tool's input; the text instead, where the model did not call it."""
    given = next((each.arguments for each in calls if each.name == ANSWER), None)
    if given is None or not sent.wrapped:
        return text if given is None else given
    try:
        value = orjson.loads(given)
    except orjson.JSONDecodeError:
        return given  # cut in the middle: what there is of it
    return orjson.dumps(value["value"]).decode() if isinstance(value, dict) and "value" in value else given


def spent(usage: dict[str, Any], *, estimated: bool = False) -> Spent:
    """Anthropic counts what the cache held and what was written to it beside `input_tokens`; here they are parts of it."""
    written, read = usage.get("cache_creation_input_tokens"), usage.get("cache_read_input_tokens")
    prompt = counted.total(usage.get("input_tokens"), written, read)
    output = counted.count(usage.get("output_tokens"))
    written_for = usage.get("cache_creation")
    hour = counted.count(written_for.get("ephemeral_1h_input_tokens")) if isinstance(written_for, dict) else None
    details = usage.get("output_tokens_details")
    thought = counted.count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    tier = usage.get("service_tier")
    return Spent(
        input_tokens=prompt or 0,
        output_tokens=output or 0,
        cached_tokens=read if prompt and read else 0,
        cache_write_tokens=written if prompt and written else 0,
        reasoning_tokens=thought or 0,
        tier=tier if isinstance(tier, str) else "",
        cache_write_1h_tokens=min(hour, written) if prompt and written and hour else 0,
        estimated=estimated or None in (usage.get("input_tokens"), prompt, output),
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"Anthropic's answer is not JSON ({error}): {_quoted(body)}") from None
    if not isinstance(reply, dict):
        raise Unreadable(f"Anthropic's answer is not a JSON object: {_quoted(body)}")
    return reply


_BY_KIND: Mapping[str, type[ProviderError]] = {
    "authentication_error": Refused,
    "billing_error": Refused,
    "permission_error": Refused,
    "not_found_error": ModelNotFound,
    "rate_limit_error": RateLimited,
    "overloaded_error": Overloaded,
    "timeout_error": TimedOut,
    "api_error": ServerError,
    "request_too_large": Rejected,
    "conflict_error": Rejected,
}
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: Refused,
    402: Refused,
    403: Refused,
    429: RateLimited,
    503: Overloaded,
    504: TimedOut,
    529: Overloaded,
}
_TOO_LONG = (
    re.compile(r"prompt is too long: (?P<prompt>\d+) tokens > (?P<context>\d+)"),
    re.compile(r"exceed context limit: (?P<prompt>\d+) \+ (?P<answer>\d+) > (?P<context>\d+)"),
)
_CANNOT = ("not supported", "does not support", "deprecated for this model", "not available for this model")
_UNPAID = ("credit balance", "spend limit", "usage limit")


def refusal(reply: httpx.Response, node: str, model: str) -> ProviderError:
    """What a status other than 200 means. ModelNotFound comes without the names of the models that there are."""
    wait_s = retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    status = reply.status_code
    try:
        found = orjson.loads(reply.content)
        error = found["error"]
        kind, words = str(error["type"]), str(error["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return _foreign(reply, node, wait_s)
    said = f"{node} says: {words}"
    if isinstance(error.get("n_prompt_tokens"), int) and isinstance(error.get("n_ctx"), int):  # llama.cpp
        return too_long(error["n_prompt_tokens"], error["n_ctx"], said)
    meaning = _meaning(kind, words, status)
    if meaning is ModelNotFound:
        return ModelNotFound(f"{node} has no model `{model}`.")
    if meaning is ContextTooLong:
        return _measured(words, said)
    return meaning(said, retry_after_s=wait_s)


def _meaning(kind: str, words: str, status: int) -> type[ProviderError]:
    if any(pattern.search(words) for pattern in _TOO_LONG):
        return ContextTooLong
    if kind in _BY_KIND:
        return _BY_KIND[kind]
    if kind == "invalid_request_error" and any(sign in words.lower() for sign in _UNPAID):
        return Refused
    if kind == "invalid_request_error" and any(sign in words for sign in _CANNOT):
        return Unsupported
    return _BY_STATUS.get(status, ServerError if status >= 500 else Rejected)


def _measured(words: str, said: str) -> ContextTooLong:
    """A prompt that fits only without its answer is told against the room that the answer leaves."""
    found = next(match for pattern in _TOO_LONG if (match := pattern.search(words)) is not None)
    answer_tokens = int(found.groupdict().get("answer") or 0)
    return too_long(int(found["prompt"]), int(found["context"]) - answer_tokens, said)


def too_long(prompt: int, context: int, said: str) -> ContextTooLong:
    """The error with its two figures, in words and for programs."""
    figures = {"prompt_tokens": prompt, "context_tokens": context}
    return ContextTooLong(f"The prompt has {prompt} tokens, there is room for {context}. {said}", figures)


def midway(event: dict[str, Any], known: Spent | None) -> ProviderError:
    """An error inside a stream. Before the message began it is a refusal like any other; after that, something was made."""
    said = f"Anthropic says: {_said(event)}"
    error = event.get("error")
    kind = str(error.get("type")) if isinstance(error, dict) else ""
    if known is None and kind in _BY_KIND:
        return _BY_KIND[kind](said)
    return ServerError(said, spent=known)


def _said(reply: dict[str, Any]) -> str:
    error = reply.get("error")
    return f"{error.get('type')}: {error.get('message')}" if isinstance(error, dict) else str(error)


def _foreign(reply: httpx.Response, node: str, wait_s: float | None) -> ProviderError:
    """An answer without Anthropic's `{"error": …}`: a proxy in front of it, or another server."""
    status = reply.status_code
    said = f"{node} answered {status}: {_quoted(reply.content)}"
    if status == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
        return Rejected(f"{said} The call is too large.")
    if status in _BY_STATUS or status >= 500:
        return _BY_STATUS.get(status, ServerError)(said, retry_after_s=wait_s)
    return Unreadable(
        f"{said} This address does not speak Anthropic's Messages: give its root, such as https://api.anthropic.com."
    )


def _quoted(body: bytes) -> str:
    return repr(body[:200].decode(errors="replace").strip()) + ("…" if len(body) > 200 else "") + "."


def read_models(body: bytes) -> tuple[list[dict[str, Any]], str | None]:
    """One page of the list, without retired models, and where the next one begins; empty when it is none."""
    try:
        reply = orjson.loads(body)
        found = [each for each in reply["data"] if isinstance(each["id"], str) and each.get("lifecycle") != "retired"]
        return found, str(reply["last_id"]) if reply.get("has_more") else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return [], None


def read_count(body: bytes) -> int:
    """Raises Unreadable."""
    try:
        found = orjson.loads(body)["input_tokens"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        found = None
    if (told := counted.count(found)) is None:
        raise Unreadable(f"The count of tokens is none: {_quoted(body)}")
    return told


def described(name: str, known: Claude) -> Model:
    """A line of the list of models; a hosted model is always loaded."""
    return Model(name, "chat", True, known.context_tokens)
