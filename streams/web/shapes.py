"""How refusals look where: RFC 9457 everywhere but on the paths whose clients read errors in another shape."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from streams.web.messages import shape as messages
from streams.web.openai import shape as openai

Refusal = Callable[[str, str, int, Mapping[str, str] | None, Mapping[str, Any] | None], Response]
"""Of a sentence, our word for it, a status, headers, and what else is told."""


def of(path: str) -> Refusal | None:
    """None: the usual one."""
    if path in openai.PATHS or path.startswith(openai.BELOW):
        return openai.refusal
    return messages.refusal if path in messages.PATHS else None
