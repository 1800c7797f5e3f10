"""classify: which of the categories asked for a text belongs to.

Where the chat model is too small for it (`Traits.classify_by_embedding`), the nearest label by meaning: the content and
each label as vectors, cosines, and their softmax as scores.

Above the model's context it is read in parts, which vote.
"""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from agents import naming, reading, structured
from agents.base import Caller, Operation
from agents.embed import vectors
from agents.reading import Space
from prompts import Rendered
from schemas.classify import Input, Output

T = TypeVar("T")

TEMPERATURE = 0.05
"""Of the softmax over cosines. Sentence encoders keep cosines close together: a lead of 0.1 is a clear one, and becomes
a ratio of e² = 7 to 1."""
_ALSO = 0.5
"""With several labels by embedding, or by the vote of parts: each whose score is at least this share of the best one's."""
_MOST_EMBEDDED = 256
"""Parts of a content that is classified by embedding: such a call is a tenth of a chat's, and its context is small."""
_AROUND_EMBEDDED = 2
"""Marks that an embedding model puts around a text."""
_MAX_TOKENS = 200
_MAX_RATIONALE = 200


class _One(BaseModel):
    category: str
    confidence: Any = None
    rationale: str | None = None


class _Several(BaseModel):
    class Item(BaseModel):
        category: str
        confidence: Any = None

    categories: list[Item]
    rationale: str | None = None


def _described(asked: Input) -> dict[str, str]:
    return asked.categories if isinstance(asked.categories, dict) else dict.fromkeys(asked.categories, "")


async def classify(asked: Input, caller: Caller) -> Output:
    """Every name in the output was asked for. With several labels, `confidence` is that of the least sure one."""
    if caller.traits.classify_by_embedding:
        ask, space = _by_embedding(asked, caller)
    else:
        ask, space = _by_chat(asked, caller)
    done = await reading.read(asked.content, ask, space)
    if len(done) == 1:
        return done[0].found
    caller.warn(reading.in_parts(len(done)))
    return vote([(len(read.part.text), read.found) for read in done], asked)


def vote(parts: Sequence[tuple[int, Output]], asked: Input) -> Output:
    """One answer out of those of the parts: each counts by its length and its confidence (1 where the model gave none)."""
    total = sum(length for length, _ in parts)
    votes: dict[str, float] = {}
    for length, output in parts:
        for name in {**output.scores, **dict.fromkeys(_named(output))}:
            votes[name] = votes.get(name, 0.0) + output.scores.get(name, 1.0) * length / total
    sure = any(output.scores for _, output in parts)
    scores = {name: votes[name] for name in _described(asked) if name in votes}
    best = max(scores, key=scores.__getitem__, default=None)
    rationale = _of_the_longest(parts, best)
    kept = scores if sure else {}
    if not asked.multi_label:
        return Output(category=best, confidence=kept.get(best or ""), scores=kept, rationale=rationale)
    chosen = [name for name, score in scores.items() if score >= _ALSO * max(scores.values())]
    confidence = min((kept[name] for name in chosen if name in kept), default=None)
    return Output(categories=chosen, confidence=confidence, scores=kept, rationale=rationale)


def _of_the_longest(parts: Sequence[tuple[int, Output]], best: str | None) -> str | None:
    """The rationale of the longest part that names the best category."""
    named = [(length, output) for length, output in parts if best in _named(output)]
    return max(named, key=lambda part: part[0])[1].rationale if named else None


def _named(output: Output) -> list[str]:
    return output.categories or ([] if output.category is None else [output.category])


_Ask = Callable[[str], Awaitable[Output]]


def _by_chat(asked: Input, caller: Caller) -> tuple[_Ask, Space]:
    async def ask(text: str) -> Output:
        of_text = asked if text == asked.content else asked.model_copy(update={"content": text})
        return await (_several(of_text, caller) if asked.multi_label else _one(of_text, caller))

    return ask, reading.space(caller, lambda: _prompt(asked.model_copy(update={"content": ""}), caller), _MAX_TOKENS)


def _by_embedding(asked: Input, caller: Caller) -> tuple[_Ask, Space]:
    described = _described(asked)
    labels = [f"{name}: {text}" if text else name for name, text in described.items()]
    known: list[tuple[float, ...]] = []

    async def ask(text: str) -> Output:
        """The labels go with the first part."""
        content, *found = await vectors([text, *([] if known else labels)], caller)
        known.extend(found)
        scores = dict(zip(described, softmax([_cosine(content, label) for label in known]), strict=True))
        best = max(scores, key=scores.__getitem__)
        if not asked.multi_label:
            return Output(category=best, confidence=scores[best], scores=scores)
        near = [name for name, score in scores.items() if score >= _ALSO * scores[best]]
        return Output(categories=near, confidence=min(map(scores.__getitem__, near)), scores=scores)

    return ask, Space(caller.traits.embed_context_tokens, lambda: _AROUND_EMBEDDED, 0, _MOST_EMBEDDED)


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    lengths = math.hypot(*left) * math.hypot(*right)
    return sum(a * b for a, b in zip(left, right, strict=True)) / lengths if lengths else 0.0


def softmax(cosines: Sequence[float]) -> list[float]:
    """Scores that add up to 1, in the order of `cosines`."""
    top = max(cosines)
    weights = [math.exp((cosine - top) / TEMPERATURE) for cosine in cosines]
    total = sum(weights)
    return [weight / total for weight in weights]


async def _one(asked: Input, caller: Caller) -> Output:
    names = list(_described(asked))

    def accept(value: Any) -> _One:
        answer = _One.model_validate(value)
        answer.category = _asked_for(answer.category, names)
        return answer

    properties = {"category": {"enum": names}, **_CONFIDENCE, **_RATIONALE}
    answer = await _ask(asked, caller, properties, accept)
    confidence = _confidence(answer.confidence, caller)
    scores = {} if confidence is None else {answer.category: confidence}
    return Output(category=answer.category, confidence=confidence, scores=scores, rationale=_rationale(answer))


async def _several(asked: Input, caller: Caller) -> Output:
    names = list(_described(asked))

    def accept(value: Any) -> _Several:
        answer = _Several.model_validate(value)
        for item in answer.categories:
            item.category = _asked_for(item.category, names)
        return answer

    item = _object({"category": {"enum": names}, **_CONFIDENCE})
    properties = {"categories": {"type": "array", "items": item, "maxItems": len(names)}, **_RATIONALE}
    answer = await _ask(asked, caller, properties, accept)
    scores: dict[str, float] = {}
    for found in answer.categories:
        confidence = _confidence(found.confidence, caller)
        if confidence is not None:
            scores[found.category] = max(confidence, scores.get(found.category, 0.0))
    chosen = list(dict.fromkeys(item.category for item in answer.categories))
    return Output(
        categories=chosen, confidence=min(scores.values(), default=None), scores=scores, rationale=_rationale(answer)
    )


_CONFIDENCE: dict[str, Any] = {"confidence": {"type": "number", "minimum": 0, "maximum": 1}}
_RATIONALE: dict[str, Any] = {"rationale": {"type": "string", "maxLength": _MAX_RATIONALE}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


async def _ask(asked: Input, caller: Caller, properties: dict[str, Any], accept: Callable[[Any], T]) -> T:
    asking = structured.question(_prompt(asked, caller), _object(properties), accept, max_tokens=_MAX_TOKENS)
    return (await structured.ask(caller, asking)).value


def _prompt(asked: Input, caller: Caller) -> Rendered:
    categories = [{"name": name, "description": text} for name, text in _described(asked).items()]
    return caller.render("classify", content=asked.content, categories=categories, multi_label=asked.multi_label)


def _asked_for(given: str, names: Sequence[str]) -> str:
    name = naming.match(given, names)
    if name is None:
        raise ValueError(f"'{given[:100]}' is not one of the categories {', '.join(names)[:300]}")
    return name


def _confidence(given: Any, caller: Caller) -> float | None:
    """A model's own figure is kept only if it is one from 0 to 1: whether 85 meant 0.85 is not ours to guess."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1:
        return float(given)
    if given is not None:
        caller.warn(f"the model's confidence {str(given)[:40]!r} is not a number from 0 to 1 and was dropped")
    return None


def _rationale(answer: _One | _Several) -> str | None:
    return (answer.rationale or "").strip() or None


OPERATION = Operation(
    "classify",
    Input,
    Output,
    classify,
    may_embed=True,
    wants=structured.wants,
    wordings=("classify", structured.REPAIR),
)
