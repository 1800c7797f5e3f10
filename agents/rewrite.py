"""rewrite: a text in other words, never longer than asked for.

What the model's context cannot hold beside its own rewriting is rewritten part by part, each in its share of the words.
"""

from typing import Any

from pydantic import BaseModel, field_validator

from agents import reading, sentences, structured
from agents.base import Caller, Operation
from prompts import Rendered
from providers import tokens
from schemas.rewrite import Input, Output

_TOKENS_ALWAYS = 100
_TOKENS_A_WORD = 3
"""Room for long words, and for what JSON escapes."""
_CHARACTERS_A_WORD = 10
"""Of a language with long words, the blank included."""
_LONGER = 1.5
"""How much longer than the text its rewriting may be where no number of words was asked for."""


class _Answer(BaseModel):
    content: str

    @field_validator("content")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank; write the whole text anew")
        return text


def _schema(bound: int | None) -> dict[str, Any]:
    """The length keeps a tiny model from repeating itself until `max_tokens` cuts its JSON."""
    content: dict[str, Any] = {"type": "string", "minLength": 1}
    if bound is not None:
        content["maxLength"] = bound
    return {
        "type": "object",
        "properties": {"content": content},
        "required": ["content"],
        "additionalProperties": False,
    }


def _bound(asked: Input) -> int | None:
    """Characters of the answer at most; None: no grammar can bound so many."""
    most = 100 + 2 * len(asked.content) if asked.max_words is None else 20 + _CHARACTERS_A_WORD * asked.max_words
    return most if most <= structured.BOUNDED else None


async def rewrite(asked: Input, caller: Caller) -> Output:
    """Words beyond `max_words` are cut off behind a sentence, with a warning; a model counts badly."""

    async def ask(text: str) -> str:
        return await _ask(_share(asked, text), caller)

    space = reading.space(caller, lambda: _prompt(asked.model_copy(update={"content": ""}), caller), _max_tokens(asked))
    done = await reading.read(asked.content, ask, space)
    if len(done) > 1:
        caller.warn(reading.in_parts(len(done)))
    text = "".join(_edges(read.part.text, read.found) for read in done).strip()
    words = sentences.count_words(text)
    if asked.max_words is not None and words > asked.max_words:
        caller.warn(f"the model wrote {words} words, {asked.max_words} at most were asked for; the rest was cut off")
        text = sentences.cut_words(text, asked.max_words)
    return Output(content=text)


def _share(asked: Input, text: str) -> Input:
    """The wish for one part: of the words, as many as it has of the content."""
    most = asked.max_words
    if most is not None:
        most = max(1, round(most * len(text) / len(asked.content)))
    return asked.model_copy(update={"content": text, "max_words": most})


def _edges(part: str, rewritten: str) -> str:
    """The white space that stood around the part, so that paragraphs stay apart."""
    return part[: len(part) - len(part.lstrip())] + rewritten.strip() + part[len(part.rstrip()) :]


def _prompt(asked: Input, caller: Caller) -> Rendered:
    return caller.render(
        "rewrite",
        content=asked.content,
        instructions=asked.instructions,
        tone=asked.tone,
        max_words=asked.max_words,
    )


def _max_tokens(asked: Input) -> int:
    if asked.max_words is not None:
        return _TOKENS_ALWAYS + _TOKENS_A_WORD * asked.max_words
    return _TOKENS_ALWAYS + round(_LONGER * tokens.weigh(asked.content))


async def _ask(asked: Input, caller: Caller) -> str:
    bound = _bound(asked)
    question = structured.question(
        _prompt(asked, caller), _schema(bound), _Answer.model_validate, max_tokens=_max_tokens(asked)
    )
    return sentences.finished((await structured.ask(caller, question)).value.content, bound)


OPERATION = Operation(
    "rewrite", Input, Output, rewrite, wants=structured.wants, wordings=("rewrite", structured.REPAIR)
)
