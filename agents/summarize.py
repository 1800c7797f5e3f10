"""summarize: a text in at most so many sentences, and its key points.

Above the model's context: a summary of each part, then the summary of those.
"""

from typing import Any

from pydantic import BaseModel, field_validator

from agents import reading, sentences, structured
from agents.base import Caller, Operation
from prompts import Rendered
from schemas.summarize import Input, Output

MAX_KEY_POINTS = 5
_TOKENS_ALWAYS = 120
_TOKENS_A_SENTENCE = 70
_SENTENCE = 240
_POINT = 160
_PART_SENTENCES = 5
"""Of the summary of one part of a content above the context, however few the whole one may have."""
_SHRINKS = 0.8
"""Summaries of parts that are together longer than this share of the content would be summarised for ever."""


class _Answer(BaseModel):
    summary: str
    key_points: list[str] = []

    @field_validator("summary")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank; write the summary")
        return text


def _schema(max_sentences: int) -> dict[str, Any]:
    """The lengths keep a tiny model from repeating itself until `max_tokens` cuts its JSON."""
    summary: dict[str, Any] = {"type": "string", "minLength": 1}
    if max_sentences * _SENTENCE <= structured.BOUNDED:
        summary["maxLength"] = max_sentences * _SENTENCE
    points = {
        "type": "array",
        "items": {"type": "string", "maxLength": _POINT},
        "maxItems": min(max_sentences, MAX_KEY_POINTS),
    }
    return {
        "type": "object",
        "properties": {"summary": summary, "key_points": points},
        "required": ["summary", "key_points"],
        "additionalProperties": False,
    }


async def summarize(asked: Input, caller: Caller) -> Output:
    """Sentences beyond `max_sentences` are cut off, with a warning; a model counts badly."""
    answer = await _answer(asked, caller)
    summary, beyond = _within(answer, asked.max_sentences)
    if beyond:
        most = asked.max_sentences
        caller.warn(f"the model wrote {most + beyond} sentences, {most} at most were asked for; the rest was cut off")
    points = [sentences.finished(point, _POINT) for point in answer.key_points if point.strip()]
    return Output(summary=summary, key_points=points[:MAX_KEY_POINTS])


async def _answer(asked: Input, caller: Caller, *, reduced: bool = False) -> _Answer:
    """Of the whole; above the context, of its parts' summaries, which may themselves be above it (`reduced`)."""
    part_asked = asked.model_copy(update={"max_sentences": _PART_SENTENCES, "style": None})

    async def ask(text: str) -> tuple[bool, _Answer]:
        if len(text) == len(asked.content):
            return True, await _ask(asked, caller)
        return False, await _ask(part_asked.model_copy(update={"content": text}), caller)

    longest = max(_max_tokens(asked), _max_tokens(part_asked))
    space = reading.space(caller, lambda: _prompt(asked.model_copy(update={"content": ""}), caller), longest)
    done = await reading.read(asked.content, ask, space)
    whole, first = done[0].found
    if whole:
        return first
    if not reduced and len(done) > 1:  # the others may have been blank
        caller.warn(reading.in_parts(len(done)))
    joined = "\n".join(_within(read.found[1], _PART_SENTENCES)[0] for read in done)
    if len(joined) > len(asked.content) * _SHRINKS:
        raise reading.TooLong(
            f"The summaries of the content's {len(done)} parts are about as long as the content. "
            "Use a model with a longer context.",
            **space.figures(asked.content),
            parts=len(done),
        )
    return await _answer(asked.model_copy(update={"content": joined}), caller, reduced=True)


async def shorter(content: str, focus: str | None, most: int, caller: Caller) -> str:
    """A text of any length in at most `most` sentences, for an operation that has no room for all of it."""
    asked = Input(content=content, max_sentences=most, focus=focus)
    return _within(await _answer(asked, caller, reduced=True), most)[0]


def _prompt(asked: Input, caller: Caller) -> Rendered:
    return caller.render(
        "summarize", content=asked.content, max_sentences=asked.max_sentences, style=asked.style, focus=asked.focus
    )


def _max_tokens(asked: Input) -> int:
    return _TOKENS_ALWAYS + _TOKENS_A_SENTENCE * asked.max_sentences


async def _ask(asked: Input, caller: Caller) -> _Answer:
    question = structured.question(
        _prompt(asked, caller), _schema(asked.max_sentences), _Answer.model_validate, max_tokens=_max_tokens(asked)
    )
    return (await structured.ask(caller, question)).value


def _within(answer: _Answer, most: int) -> tuple[str, int]:
    """The summary's first `most` sentences, and how many more it had."""
    bound = most * _SENTENCE if most * _SENTENCE <= structured.BOUNDED else None
    return sentences.cut(sentences.finished(answer.summary, bound), most)


OPERATION = Operation(
    "summarize", Input, Output, summarize, wants=structured.wants, wordings=("summarize", structured.REPAIR)
)
