"""Answers of a given form.

The provider's own JSON-Schema mode first; a strict parse; `json_repair` only where that failed; the operation's own
check; then one second call that shows the model its error. After that the request fails as `invalid_answer`.

An answer that `max_tokens` cut off is not repaired by closing its brackets: a name cut in half would be published.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import json_repair
import orjson

from agents.base import NO_MORE, Caller, InvalidAnswer, More
from prompts import Rendered
from providers.calls import ChatAnswer, Message, messages
from schemas.depth import MAX_ANSWER_DEPTH, is_deeper

T = TypeVar("T")

REPAIR = "repair"
"""The prompt of the second call."""
MAX_REPAIRED = 50_000
"""Characters beyond which broken JSON is not mended: `json_repair` is slow on long texts."""
BOUNDED = 1500
"""Characters beyond which a schema should bound no length: llama.cpp's grammars take no more repetitions than 2000."""
MAX_SHOWN = 2_000
"""Characters of an unusable answer that are shown, to the model and in an error's details."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """What is asked, and what counts as an answer.

    `accept` turns the parsed JSON into the answer, or raises ValueError with a sentence for the model. It may be kinder
    than `schema`, which is what the provider enforces.
    """

    messages: Sequence[Message]
    schema: dict[str, Any]
    accept: Callable[[Any], T]
    max_tokens: int | None
    prompt: Rendered | None = None
    more: More = NO_MORE


@dataclass(frozen=True, slots=True)
class Answered(Generic[T]):
    """The accepted answer, and as the model gave it."""

    value: T
    answer: ChatAnswer

    @property
    def text(self) -> str:
        """The model's words."""
        return self.answer.text


class _Unusable(ValueError):
    """Shown to the model in the second call."""


def wants(_: Any) -> tuple[str, ...]:
    """What an operation asks of a model that gives it a schema of its own, in the words of `providers.able`."""
    return ("response_format",)


def question(prompt: Rendered, schema: dict[str, Any], accept: Callable[[Any], T], *, max_tokens: int) -> Question[T]:
    """A library prompt as a question."""
    return Question(messages(prompt.system, [("user", prompt.user)]), schema, accept, max_tokens, prompt)


async def ask(caller: Caller, asked: Question[T]) -> Answered[T]:
    """The answer, at the first or the second try; `InvalidAnswer` tells what was wrong with both."""
    answer = await _call(caller, asked, asked.messages, asked.prompt, asked.max_tokens)
    try:
        return Answered(_read(answer, asked.accept), answer)
    except _Unusable as problem:
        first = str(problem)
    repair = caller.render(REPAIR, problem=first)
    shown = answer.text[:MAX_SHOWN] or "(nothing)"
    turns = [*asked.messages, Message("assistant", shown), Message("user", repair.user)]
    most = asked.max_tokens
    room = most * 2 if most is not None and answer.finish_reason == "length" else most
    answer = await _call(caller, asked, turns, repair, room)
    try:
        return Answered(_read(answer, asked.accept), answer)
    except _Unusable as problem:
        raise InvalidAnswer(
            f"the model's answer could not be used, and not after one repair either: {problem}",
            problems=[first, str(problem)],
            finish_reason=answer.finish_reason,
            answer=answer.text[:MAX_SHOWN],
        ) from problem


async def _call(
    caller: Caller, asked: Question[T], turns: Sequence[Message], prompt: Rendered | None, max_tokens: int | None
) -> ChatAnswer:
    return await caller.chat(turns, prompt=prompt, schema=asked.schema, max_tokens=max_tokens, more=asked.more)


def _read(answer: ChatAnswer, accept: Callable[[Any], T]) -> T:
    try:
        return accept(parse(answer.text, whole=answer.finish_reason != "length"))
    except _Unusable:
        raise
    except ValueError as error:
        raise _Unusable(_said(error)) from error
    except RecursionError as error:
        raise _Unusable("it is nested too deep") from error


def _said(error: ValueError) -> str:
    """Pydantic's errors in one short line; another's message as it is."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return str(error)[:500]
    lines = [f"{'.'.join(map(str, item['loc'])) or 'answer'}: {item['msg']}" for item in listed()]
    return "; ".join(lines[:3]).replace("Value error, ", "")[:500]


def parse(text: str, *, whole: bool = True) -> Any:
    """The JSON in a model's answer, such as a result can hold. `whole`: it ended by itself, so that what is broken in it may be
    mended.
    """
    try:
        value = orjson.loads(text.strip())
    except orjson.JSONDecodeError as error:
        value = _mended(text, str(error), whole=whole)
    if is_deeper(value, MAX_ANSWER_DEPTH):
        raise _Unusable(f"it is nested deeper than {MAX_ANSWER_DEPTH} levels")
    return value


def _mended(text: str, strict: str, *, whole: bool) -> Any:
    if not whole:
        raise _Unusable("it was cut off at max_tokens before its end; answer more briefly, or raise max_tokens")
    if len(text) > MAX_REPAIRED:
        raise _Unusable(f"it is not JSON ({strict})")
    value = json_repair.loads(text, skip_json_loads=True)
    if not isinstance(value, dict | list):  # of free prose it makes an empty string
        raise _Unusable(f"it is not JSON ({strict})")
    if _is_halved(value):
        raise _Unusable("it has half of a character in it: a surrogate without the other one of its pair")
    return value


def _is_halved(value: Any) -> bool:
    """`json_repair` lets through what no JSON can be made of again."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False
