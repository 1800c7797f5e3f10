"""What a double answers: made of the prompt's own words, the same each time for the same call.

So an extraction finds words that do occur, a summary is about its text, and a category is one of those asked for.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import orjson

from providers.calls import Tool, ToolCall
from providers.double.instance import Source, instance

_WORD = re.compile(r"\S+")
_DIRECTIVE = re.compile(r"\[fake:[^\]]*\]|\n")

DIMENSIONS = 64
PLAIN_WORDS = 40


@dataclass(frozen=True, slots=True)
class Answer:
    """`cut`: `max_tokens` ended it."""

    text: str
    tokens: int
    cut: bool


def answer(
    texts: tuple[str, ...],
    *,
    schema: dict[str, Any] | None,
    seed: object,
    max_tokens: int | None = None,
    stop: tuple[str, ...] = (),
    cut: bool = False,
    gibberish: bool = False,
) -> Answer:
    """The answer to a chat whose messages hold `texts`; its last one is worked on. Tokens are words."""
    source = Source(content(texts[-1] if texts else ""), seed)
    if gibberish:
        text = "I would rather not say."
    elif schema is None:
        text = source.phrase(PLAIN_WORDS)
    else:
        text = orjson.dumps(instance(schema, source)).decode()
    for end in stop:
        text = text.split(end, 1)[0] if end else text
    words = list(_WORD.finditer(text))
    limit = min(max_tokens or len(words), len(words) // 2 if cut else len(words))
    if limit < len(words):
        return Answer(text[: words[limit].start()].rstrip() if limit else text[:1], limit, cut=True)
    return Answer(text, len(words), cut=cut)


def tool_calls(tools: Sequence[Tool], texts: tuple[str, ...], seed: object, wanted: int) -> tuple[ToolCall, ...]:
    """So many of the tools, from the first on and round, each with arguments that its schema allows."""
    source = Source(content(texts[-1] if texts else ""), seed)
    calls = []
    for number in range(wanted if tools else 0):
        tool = tools[number % len(tools)]
        schema = tool.parameters or {"type": "object"}
        arguments = orjson.dumps(instance(schema, source)).decode()
        calls.append(ToolCall(f"call_{number + 1}", tool.name, arguments))
    return tuple(calls)


def logprobs(text: str, others: int) -> tuple[dict[str, Any], ...]:
    """One entry a token (a word and the blank before it), as OpenAI tells them: surely this one, and `others` that were less likely."""
    return tuple(
        _likely(match[0], -0.01) | {"top_logprobs": [_likely(match[0], -0.01), *_OTHERS][:others]}
        for match in re.finditer(r"\s*\S+(?:\s+\Z)?", text)
    )


def _likely(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode(errors="replace"))}


_OTHERS = [_likely(f" other{rank}", -4.0 - rank) for rank in range(20)]


def pieces(text: str) -> list[str]:
    """The words of an answer, as a stream brings them: joined they are the answer."""
    *words, last = text.split(" ")
    return [*(f"{word} " for word in words), last]


def count(texts: tuple[str, ...]) -> int:
    return sum(len(text.split()) for text in texts)


def content(text: str) -> str:
    """The longest line: the rest of a prompt is instructions."""
    return max(_DIRECTIVE.split(text), key=len).strip()


def embed(text: str, dimensions: int | None = None) -> tuple[float, ...]:
    """A unit vector of hashed words: texts that share words are near each other, so nearest-label tests make sense."""
    vector = [0.0] * DIMENSIONS
    vector[0] = 0.01
    for word in _words(text):
        code = crc32(word)
        vector[code % DIMENSIONS] += 1.0 if code & 0x10000 else -1.0
    vector = vector[:dimensions]
    length = math.hypot(*vector)
    return tuple(each / length for each in vector) if length else (1.0, *vector[1:])


def _words(text: str) -> Iterator[bytes]:
    for word in text.lower().split():
        yield word.strip(".,;:!?\"'()").encode(errors="replace")
