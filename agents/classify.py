"""classify: which of the categories asked for a text belongs to.

Where the chat model is too small for it (`Traits.classify_by_embedding`), the nearest label by meaning: the content and
each label as vectors, cosines, and their softmax as scores.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from agents import naming, structured
from agents.base import Caller, Operation
from agents.embed import vectors
from schemas.classify import Input, Output

T = TypeVar("T")

TEMPERATURE = 0.05
"""Of the softmax over cosines. Sentence encoders keep cosines close together: a lead of 0.1 is a clear one, and becomes
a ratio of e² = 7 to 1."""
_ALSO = 0.5
"""With several labels by embedding: each whose score is at least this share of the best one's."""
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
        return await _by_embedding(asked, caller)
    return await (_several(asked, caller) if asked.multi_label else _one(asked, caller))


async def _by_embedding(asked: Input, caller: Caller) -> Output:
    described = _described(asked)
    labels = [f"{name}: {text}" if text else name for name, text in described.items()]
    content, *found = await vectors([asked.content, *labels], caller)
    scores = dict(zip(described, softmax([_cosine(content, label) for label in found]), strict=True))
    best = max(scores, key=scores.__getitem__)
    if not asked.multi_label:
        return Output(category=best, confidence=scores[best], scores=scores)
    near = [name for name, score in scores.items() if score >= _ALSO * scores[best]]
    return Output(categories=near, confidence=min(map(scores.__getitem__, near)), scores=scores)


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
    categories = [{"name": name, "description": text} for name, text in _described(asked).items()]
    prompt = caller.render("classify", content=asked.content, categories=categories, multi_label=asked.multi_label)
    asking = structured.question(prompt, _object(properties), accept, max_tokens=_MAX_TOKENS)
    return (await structured.ask(caller, asking)).value


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


OPERATION = Operation("classify", Input, Output, classify, may_embed=True)
