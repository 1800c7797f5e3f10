"""summarize: a text in at most so many sentences, and its key points."""

from typing import Any

from pydantic import BaseModel, field_validator

from agents import sentences, structured
from agents.base import Caller, Operation
from schemas.summarize import Input, Output

MAX_KEY_POINTS = 5
_TOKENS_ALWAYS = 120
_TOKENS_A_SENTENCE = 70
_SENTENCE = 240
_POINT = 160
_BOUNDED = 1500
"""Characters beyond which the schema bounds no length: llama.cpp's grammars take no more repetitions than 2000."""


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
    if max_sentences * _SENTENCE <= _BOUNDED:
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
    most = asked.max_sentences
    prompt = caller.render("summarize", content=asked.content, max_sentences=most, style=asked.style, focus=asked.focus)
    max_tokens = _TOKENS_ALWAYS + _TOKENS_A_SENTENCE * most
    answered = await structured.ask(
        caller, structured.question(prompt, _schema(most), _Answer.model_validate, max_tokens=max_tokens)
    )
    bound = most * _SENTENCE if most * _SENTENCE <= _BOUNDED else None
    summary, beyond = sentences.cut(sentences.finished(answered.value.summary, bound), most)
    if beyond:
        caller.warn(f"the model wrote {most + beyond} sentences, {most} at most were asked for; the rest was cut off")
    points = [sentences.finished(point, _POINT) for point in answered.value.key_points if point.strip()]
    return Output(summary=summary, key_points=points[:MAX_KEY_POINTS])


OPERATION = Operation("summarize", Input, Output, summarize)
