"""Ollama's wire format as pure functions: what a call looks like, what an answer or a refusal means.

Chats are in `ollama_chat`. `tests/providers/test_ollama.py` reads replies recorded from Ollama 0.17.4 with them.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from providers import counted
from providers.base import Able, Model
from providers.calls import EmbedAnswer, EmbedCall, Kind, Spent
from providers.errors import (
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    Unreadable,
    Unsupported,
)
from providers.http import retry_after

_LONGEST_NS = 86_400 * 10**9
"""No call takes a day."""

_UNIT = 1e-4
"""How far from 1 a vector's length may be before it is made 1; a float32 server is within 1e-6."""

REFUSED_WITH_500 = ("invalid format", "invalid JSON schema in format", "must be of type")
"""What Ollama says, with status 500, of a call that it has refused: it was never run and would be refused again."""


_LACKED = {"tools": "tools", "thinking": "reasoning_effort", "vision": "image_url", "image": "image_url"}
"""What Ollama says of a model that lacks something, in OpenAI's names."""

_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: Refused,
    403: Refused,
    413: Rejected,
    429: RateLimited,
    503: Overloaded,
}


@dataclass(frozen=True, slots=True)
class Prompt:
    """The figures of a call that a refusal for its length reports."""

    tokens: int
    context: int


def embed_body(call: EmbedCall, num_ctx: int, keep_alive: str) -> bytes:
    """`truncate` false: a text above the model's context is refused, where Ollama's default cuts it silently."""
    body: dict[str, Any] = {"model": call.model, "input": list(call.texts), "truncate": False}
    body |= {"keep_alive": keep(keep_alive)}
    shorter = {} if call.dimensions is None else {"dimensions": call.dimensions}
    return dump(body | shorter | {"options": {"num_ctx": num_ctx}})


def keep(words: str) -> str | int:
    """A bare number is seconds, `-1` for ever: Ollama takes it as a number only, and a text with a unit (`30m`)."""
    try:
        return int(words)
    except ValueError:
        return words


def dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:  # a lone surrogate, or an integer above 64 bits in a schema
        raise Rejected(f"The call cannot be written as JSON: {error}.") from None


def read_embed(body: bytes, count: int) -> EmbedAnswer:
    """Raises Unreadable, also for a vector that has no direction or another length than its neighbours."""
    reply = read_object(body)
    vectors = reply.get("embeddings")
    if not isinstance(vectors, list) or len(vectors) != count:
        raise Unreadable(f"Ollama's answer does not hold one vector for each of {count} texts.", spent=spent(reply))
    try:
        units = tuple(_unit(vector) for vector in vectors)
    except (TypeError, ValueError):
        raise Unreadable("Ollama's answer holds a vector that is none.", spent=spent(reply)) from None
    if len({len(unit) for unit in units}) > 1:
        raise Unreadable("Ollama's answer holds vectors of different dimensions.", spent=spent(reply))
    return EmbedAnswer(units, spent(reply))


def _unit(vector: list[float]) -> tuple[float, ...]:
    length = math.hypot(*vector)
    if not 0 < length < math.inf:
        raise ValueError(length)
    if abs(length - 1) < _UNIT:
        return tuple(vector)
    return tuple(each / length for each in vector)


def read_object(body: bytes) -> dict[str, Any]:
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"Ollama's answer is not JSON ({error}): {_quoted(body)}") from None
    if not isinstance(reply, dict):
        raise Unreadable(f"Ollama's answer is not a JSON object: {_quoted(body)}")
    return reply


def spent(reply: dict[str, Any]) -> Spent:
    """Durations are nanoseconds of the node's own work, its queue and the loading of the model left out.

    It says nothing of an answer without tokens, as embeddings are; of a prompt without a count it does not know the count.
    """
    tokens_in, tokens_out = counted.count(reply.get("prompt_eval_count")), counted.total(reply.get("eval_count"))
    names = ("prompt_eval_duration", "eval_duration", "total_duration", "load_duration")
    prompt, output, total, loading = (counted.count(reply.get(name), _LONGEST_NS) for name in names)
    worked = total if prompt is None and output is None else (prompt or 0) + (output or 0)  # embed reports only a total
    return Spent(
        input_tokens=tokens_in or 0,
        output_tokens=tokens_out or 0,
        estimated=tokens_in is None or tokens_out is None,
        gpu_seconds=None if worked is None else worked / 1e9,
        load_s=None if loading is None else loading / 1e9,
    )


def refusal(reply: httpx.Response, node: str, model: str, prompt: Prompt) -> ProviderError:
    """What a status other than 200 means. ModelNotFound comes without the names of the models that there are."""
    words = _words(reply.content)
    status = reply.status_code
    wait_s = retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
    if words is None:
        return _foreign(reply, node, wait_s)
    said = f"{node} says: {words}"
    if "exceed" in words and "context" in words:
        return too_long(_told(words) or prompt, said)
    if any(sign in words for sign in REFUSED_WITH_500):
        return Rejected(said)
    if status == httpx.codes.NOT_FOUND:
        return ModelNotFound(f"{node} has no model `{model}`.")
    if status == httpx.codes.BAD_REQUEST and (match := re.search(r"does not support ([a-z]+)", words)):
        fields = _LACKED.get(match[1])
        return Unsupported(said, {"fields": [fields]} if fields else {})
    return _by_status(status)(said, retry_after_s=wait_s)


def _told(words: str) -> Prompt | None:
    """The true figures, which an Ollama on llama-server gives (as JSON inside the message); older ones give none."""
    found = [re.search(rf'"{name}":\s*([0-9]+)', words) for name in ("n_prompt_tokens", "n_ctx")]
    prompt, context = (int(match[1]) if match else None for match in found)
    return None if prompt is None or context is None else Prompt(prompt, context)


def too_long(prompt: Prompt, said: str = "") -> ContextTooLong:
    """The error with its two figures, in words and for programs."""
    about = f"The prompt has about {prompt.tokens} tokens, the model's context holds {prompt.context}."
    figures = {"prompt_tokens": prompt.tokens, "context_tokens": prompt.context}
    return ContextTooLong(f"{about} {said}".rstrip(), figures)


def _foreign(reply: httpx.Response, node: str, wait_s: float | None) -> ProviderError:
    """An answer without Ollama's `{"error": …}`: a proxy in front of it, or no Ollama at all."""
    status = reply.status_code
    said = f"{node} answered {status}: {_quoted(reply.content)}"
    if status in _BY_STATUS or status >= 500:
        return _by_status(status)(said, retry_after_s=wait_s)
    return Unreadable(f"{said} This address is not an Ollama's: give its root, such as http://127.0.0.1:11434.")


def _by_status(status: int) -> type[ProviderError]:
    return _BY_STATUS.get(status, ServerError if status >= 500 else Rejected)


def _words(body: bytes) -> str | None:
    """The text of `{"error": "…"}`, and of the OpenAI shape of it; None: it is neither."""
    try:
        error = orjson.loads(body)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _quoted(body: bytes) -> str:
    return repr(body[:200].decode(errors="replace").strip()) + ("…" if len(body) > 200 else "") + "."


def read_context(body: bytes, model: str) -> int | None:
    """The context with which `/api/ps` says that `model` is loaded; None: it is not loaded, or does not say."""
    try:
        loaded = orjson.loads(body)["models"]
        sizes = [int(each["context_length"]) for each in loaded if each["name"] in (model, f"{model}:latest")]
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None
    return sizes[0] if sizes else None


def read_models(body: bytes) -> tuple[str, ...]:
    """The names in an answer of `/api/tags`; empty when it is not one."""
    try:
        return tuple(str(model["name"]) for model in orjson.loads(body)["models"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ()


def read_digests(body: bytes) -> dict[str, str]:
    """Name to digest, of the models in an answer of `/api/tags` that have one."""
    try:
        return {str(each["name"]): str(each["digest"]) for each in orjson.loads(body)["models"] if each.get("digest")}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return {}


_NATIVE = ("top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "dimensions")
UNKNOWN = Able(schema=True, params=frozenset({*_NATIVE, "reasoning_effort"}))
"""Of a model that was not seen yet: what Ollama's protocol has, it may have."""


def read_able(show: bytes) -> Able | None:
    """What `/api/show` says that a model can do; None: it does not say, as Ollama before 0.6.4."""
    try:
        reply = orjson.loads(show)
        told = reply["capabilities"]
        lengths = [v for name, v in (reply.get("model_info") or {}).items() if name.endswith(".context_length")]
        abilities = frozenset(map(str, told))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    chats = "completion" in abilities
    return Able(
        chat=chats,
        embed="embedding" in abilities,
        schema=chats,
        tools="tools" in abilities,
        images="vision" in abilities,
        params=frozenset({*_NATIVE, *(["reasoning_effort"] if "thinking" in abilities else [])}),
        context_tokens=lengths[0] if lengths and isinstance(lengths[0], int) else None,
    )


_EMBEDS = ("bert", "embed")


def read_shelf(tags: bytes, loaded: bytes) -> tuple[Model, ...]:
    """The models of `/api/tags`, with what `/api/ps` says of those that are in memory."""
    families = _families(tags)
    contexts = {name: read_context(loaded, name) for name in read_models(loaded)}
    return tuple(
        Model(name, _kind(name, families.get(name, "")), name in contexts, contexts.get(name))
        for name in read_models(tags)
    )


def read_loaded(body: bytes) -> dict[str, bool] | None:
    """The models of `/api/ps`, and whether each has a part on a GPU; None: this is no such list."""
    try:
        return {str(each["name"]): each.get("size_vram", 0) > 0 for each in orjson.loads(body)["models"] or ()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _families(tags: bytes) -> dict[str, str]:
    try:
        return {str(each["name"]): str(each["details"]["family"]) for each in orjson.loads(tags)["models"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return {}


def _kind(name: str, family: str) -> Kind | None:
    """Ollama's list does not say what a model is for; its family and its name mostly do."""
    if any(word in family or word in name for word in _EMBEDS):
        return "embed"
    return "chat" if family else None
