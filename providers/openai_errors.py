"""What OpenAI's refusals mean, and those of servers that are compatible but for their errors: pure functions to the port's tree.

A server's words are quoted, but for a refused key: those show a part of it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import orjson

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
from providers.openai_wire import quoted


@dataclass(frozen=True, slots=True)
class _Sign:
    """By what an error is known: one of its codes, or, with one of these statuses, its words."""

    kind: type[ProviderError]
    codes: frozenset[str] = frozenset()
    statuses: frozenset[int] = frozenset()
    words: str = "$^"
    advice: str = ""

    def fits(self, told: "Told", status: int) -> bool:
        if any(code in self.codes for code in told.codes):
            return True
        return status in self.statuses and re.search(self.words, told.words, re.IGNORECASE) is not None


_SIGNS = (
    _Sign(
        Refused,
        frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}),
        advice=" Waiting does not help: add credit, or name another provider.",
    ),
    _Sign(
        Refused,
        frozenset({"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation", "invalid_prompt"}),
        advice=" Its filter stopped the prompt.",
    ),
    _Sign(
        ContextTooLong,
        frozenset({"context_length_exceeded", "exceed_context_size_error"}),
        frozenset({400, 413, 422, 500}),
        r"maximum context length|context (window|length)|available context size",
    ),
    _Sign(
        ModelNotFound,
        frozenset({"model_not_found", "DeploymentNotFound", "invalid_model"}),
        frozenset({400, 404}),
        r"invalid model|not a valid model|model\b.{0,200}\b(does not exist|not found)",
    ),
    _Sign(
        Unsupported,
        frozenset({"unsupported_parameter", "unsupported_value", "unsupported_model"}),
        frozenset({400, 422, 501}),
        "does not support|is not supported|not enabled",
    ),
    _Sign(
        Rejected,
        statuses=frozenset({429}),
        words="too large",
        advice=" It is above what this key may ask for in a minute.",
    ),
)

_CONTEXT = re.compile(
    r"maximum context length (?:is|of) (\d+)|with (\d+) maximum context length|context size \((\d+) tokens\)",
    re.IGNORECASE,
)
_PROMPT = (
    re.compile(r"(\d+) in (?:the messages|your prompt|the prompt)", re.IGNORECASE),
    re.compile(r"(?:resulted in|contains|requested|request \()(?: at least)? ?(\d+)", re.IGNORECASE),
)

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: Refused,
    402: Refused,
    403: Refused,
    408: TimedOut,
    429: RateLimited,
    498: Overloaded,  # Groq: the flex tier is full
    503: Overloaded,
    529: Overloaded,
}


@dataclass(frozen=True, slots=True)
class Told:
    """An error in a server's own words; `codes`: its code and its type, whichever it has."""

    words: str
    codes: tuple[str, ...] = ()
    param: str | None = None
    figures: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """Of the call that was refused: who refused it, where, and what a refusal must say. `secret` must never be shown.

    `prompt_tokens`: guessed; `context_tokens`: known or None. `setting`: what holds the key.
    """

    who: str
    model: str
    prompt_tokens: int
    context_tokens: int | None = None
    secret: str = ""
    setting: str = "its key"


def refusal(reply: httpx.Response, asked: Asked, now: datetime) -> ProviderError:
    """What a status other than 200 means. ModelNotFound comes without the names of the models that there are."""
    told = read(reply.content)
    if told is None:
        return _foreign(reply, asked, now)
    error = meaning(told, reply.status_code, asked)
    if type(error) is Rejected and reply.status_code == httpx.codes.NOT_FOUND:
        return _foreign(reply, asked, now)
    error.retry_after_s = wait_s(reply.headers, now) if not isinstance(error, Rejected) else None
    request = reply.headers.get("x-request-id")
    if request:
        error.details = error.details | {"provider_request_id": request}
    return error


def in_stream(error: Any, asked: Asked) -> ProviderError:
    """An error as the first event of a stream, after status 200: servers give what would have been its status as its code."""
    told = _told(error)
    code = error.get("code") if isinstance(error, dict) else None
    return meaning(told, code if isinstance(code, int) and code >= 400 else 500, asked)


def meaning(told: Told, status: int, asked: Asked) -> ProviderError:
    """By its code where that says it, else by its words, else by its status."""
    said = f"{asked.who} says: {masked(told.words, asked.secret)}"
    sign = next((sign for sign in _SIGNS if sign.fits(told, status)), None)
    kind = _by_status(status) if sign is None else sign.kind
    details: dict[str, Any] = {"code": told.codes[0]} if told.codes else {}
    if told.param:
        details |= {"fields": [told.param]} if kind is Unsupported else {"param": told.param}
    if kind is ContextTooLong:
        return _too_long(told, said, asked)
    if kind is ModelNotFound:
        return ModelNotFound(f"{asked.who} has no model `{asked.model}`.", {"model": asked.model})
    if status == httpx.codes.UNAUTHORIZED:
        return Refused(f"{asked.who} refuses the key: set {asked.setting} to a valid one.", details)
    return kind(said + ("" if sign is None else sign.advice), details)


def read(body: bytes) -> Told | None:
    """`{"error": …}` as OpenAI has it, and what others have instead; None: this is no error of such a server.

    vLLM and Mistral: flat, with `object: error`. FastAPI: `detail`. Azure's gateway: `statusCode`, `message`.
    """
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if isinstance(told, list) and told:  # Gemini's compatible endpoint
        told = told[0]
    if not isinstance(told, dict):
        return None
    if "error" in told:
        return _told(told["error"])
    if "detail" in told:
        return Told(str(told["detail"])[:500])
    return _told(told) if "message" in told else None


def _told(error: Any) -> Told:
    if not isinstance(error, dict):
        return Told(str(error)[:500])
    inner = error.get("innererror")
    codes = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    figures = [error.get(name) for name in ("n_prompt_tokens", "n_ctx")]
    prompt, context = (each if isinstance(each, int) else None for each in figures)
    return Told(
        str(error.get("message") or error)[:1000],
        tuple(code for code in codes if isinstance(code, str)),
        param if isinstance(param := error.get("param"), str) else None,
        None if prompt is None or context is None else (prompt, context),
    )


def _too_long(told: Told, said: str, asked: Asked) -> ContextTooLong:
    prompt, context = told.figures or _figures(told.words)
    prompt = asked.prompt_tokens if prompt is None else prompt
    context = asked.context_tokens if context is None else context
    about = f"The prompt has about {prompt} tokens"
    holds = (
        f", the model's context holds {context}." if context is not None else ", which is above the model's context."
    )
    figures = {"prompt_tokens": prompt} | ({} if context is None else {"context_tokens": context})
    return ContextTooLong(f"{about}{holds} {said}", figures)


def _figures(words: str) -> tuple[int | None, int | None]:
    """Of the prompt and of the context; None: not said."""
    context = _CONTEXT.search(words)
    prompts = (pattern.search(words) for pattern in _PROMPT)
    prompt = next((int(match[1]) for match in prompts if match), None)
    return prompt, int(next(filter(None, context.groups()))) if context else None


def _foreign(reply: httpx.Response, asked: Asked, now: datetime) -> ProviderError:
    """Not a model server's error: a proxy's in front of it, or none at all.

    A proxy's 503 may come after the model has worked (Envoy: "upstream connect error or disconnect"): not surely unpaid.
    """
    status = reply.status_code
    said = f"{asked.who} answered {status}: {masked(quoted(reply.content), asked.secret)}"
    if status == httpx.codes.SERVICE_UNAVAILABLE:
        return ServerError(said, retry_after_s=wait_s(reply.headers, now))
    if status in _BY_STATUS or status >= 500:
        return _by_status(status)(said, retry_after_s=wait_s(reply.headers, now))
    return Unreadable(f"{said} This address is not an OpenAI-compatible server's: give it with its /v1.")


def _by_status(status: int) -> type[ProviderError]:
    return _BY_STATUS.get(status, ServerError if status >= 500 else Rejected)


def wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long the server asks to wait: `retry-after-ms`, `Retry-After`, or when the limit that is used up is filled again."""
    millis = headers.get("retry-after-ms", "")
    if re.fullmatch(r"\d+(\.\d+)?", millis):
        return float(millis) / 1000
    told = retry_after(headers.get("retry-after"), now)
    if told is not None:
        return told
    resets = [
        _seconds(headers.get(f"x-ratelimit-reset-{what}", ""))
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max((each for each in resets if each is not None), default=None)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def _seconds(duration: str) -> float | None:
    """OpenAI's `6m0s`, `1.5s`, `120ms`; None: something else."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def masked(text: str, secret: str) -> str:
    """Without the key, and without what looks like a part of one."""
    told = text.replace(secret, "…") if secret else text
    return re.sub(r"\b(sk|gsk|xai|pk)-[\w*.-]{6,}", r"\1-…", told)
