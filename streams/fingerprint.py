"""Which requests have one answer between them: the fingerprint of a question, or nothing where each asks for its own.

A temperature above 0 asks for chance, so each such request is run. Operations whose wording is the caller's own
(`complete`, `execute_prompt`) may be asked again for another version; they share an answer only where the request takes
chance out: `temperature` 0, or a `seed`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from agents.base import Operation
from prompts import Library
from providers.base import Knowing, Provider
from schemas.request import Request
from store.rows import digest


def shares(operation: Operation, request: Request) -> bool:
    """Whether its answer may be another request's, and another's its own."""
    options = request.options
    if options.cache == "off" or (options.temperature or 0) > 0:
        return False
    return not operation.own_wording or options.temperature == 0 or request.input.get("seed") is not None


def fingerprint(
    operation: Operation,
    request: Request,
    *,
    tenant: str,
    provider: Provider,
    model: str,
    pinned: str | None,
    library: Library,
    guards: Sequence[str] = (),
) -> bytes:
    """All that decides the answer, and the unknown fields, of which the answer's warnings tell. `tenant` is empty where
    tenants share answers. A prompt that was changed in any way starts anew, for all operations: a repair may use it.
    """
    told: Mapping[str, Any] = {
        "tenant": tenant,
        "operation": operation.name,
        "prompts": library.digest(),
        "pinned": pinned,
        "provider": provider.name,
        "model": model,
        "model_digest": provider.digest(model) if isinstance(provider, Knowing) else None,
        "temperature": request.options.temperature,
        "max_tokens": request.options.max_tokens,
        "input": request.question(),
        "unknown": request.unknown_fields(),
        **({"guards": guards} if guards else {}),
    }
    return digest(orjson.dumps(told, option=orjson.OPT_SORT_KEYS))
