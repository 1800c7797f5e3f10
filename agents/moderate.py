"""moderate: whether texts hold what should not be said. A model that is made for it says so itself; any other is asked by a prompt.

Above the model's context a text is read in parts; each category counts as in the part where it is surest.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import BaseModel, Field

from agents import naming, reading, structured
from agents.base import NO_MORE, Caller, InvalidAnswer, More, Operation
from prompts import Rendered
from schemas.moderate import CATEGORIES, Input, Output, Verdict

FOUND = 0.5
"""How sure a model that is asked by a prompt must be."""
_MAX_TOKENS = 400
_NAMES = list(CATEGORIES)


class _Found(BaseModel):
    category: str
    confidence: Annotated[float, Field(ge=0, le=1)]


class _Answer(BaseModel):
    found: list[_Found]


_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "found": {
            "type": "array",
            "maxItems": len(_NAMES),
            "items": {
                "type": "object",
                "properties": {
                    "category": {"enum": _NAMES},
                    "confidence": {"type": "number", "minimum": 0, "maximum": 1},
                },
                "required": ["category", "confidence"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["found"],
    "additionalProperties": False,
}


async def moderate(asked: Input, caller: Caller) -> Output:
    """`content` alone is one text."""
    return Output(results=await verdicts(asked.texts or [asked.content or ""], caller))


async def verdicts(texts: Sequence[str], caller: Caller, more: More = NO_MORE) -> list[Verdict]:
    """One for each text, in their order."""
    answer = await caller.moderate(texts)
    if answer is None:
        return [await _by_prompt(text, caller, more) for text in texts]
    if len(answer.verdicts) != len(texts):
        raise InvalidAnswer(f"the model gave {len(answer.verdicts)} verdicts for {len(texts)} texts")
    return [Verdict(flagged=each.flagged, categories=each.categories, scores=each.scores) for each in answer.verdicts]


async def _by_prompt(text: str, caller: Caller, more: More) -> Verdict:
    async def ask(part: str) -> dict[str, float]:
        asking = structured.question(_prompt(part, caller), _SCHEMA, _accept, max_tokens=_MAX_TOKENS)
        return (await structured.ask(caller, replace(asking, more=more))).value

    done = await reading.read(text, ask, reading.space(caller, lambda: _prompt("", caller), _MAX_TOKENS))
    if len(done) > 1:
        caller.warn(reading.in_parts(len(done)))
    return verdict([read.found for read in done])


def verdict(parts: Sequence[dict[str, float]]) -> Verdict:
    """Of a text, out of what was found in its parts."""
    scores = {name: max((part.get(name, 0.0) for part in parts), default=0.0) for name in _NAMES}
    categories = {name: score >= FOUND for name, score in scores.items()}
    return Verdict(flagged=any(categories.values()), categories=categories, scores=scores)


def _accept(value: Any) -> dict[str, float]:
    scores: dict[str, float] = {}
    for found in _Answer.model_validate(value).found:
        name = naming.match(found.category, _NAMES)
        if name is None:
            raise ValueError(f"'{found.category[:100]}' is not one of the categories {', '.join(_NAMES)}")
        scores[name] = max(found.confidence, scores.get(name, 0.0))
    return scores


def _prompt(text: str, caller: Caller) -> Rendered:
    described = [{"name": name, "description": words} for name, words in CATEGORIES.items()]
    return caller.render("moderate", content=text, categories=described)


OPERATION = Operation(
    "moderate",
    Input,
    Output,
    moderate,
    wants=structured.wants,
    moderates=True,
    wordings=("moderate", structured.REPAIR),
)
