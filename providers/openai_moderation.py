"""OpenAI's `/moderations` as pure functions: what a call looks like, and what an answer means."""

from typing import Any

import orjson

from providers import tokens
from providers.calls import Judged, ModerateAnswer, ModerateCall, Spent
from providers.errors import Rejected, Unreadable
from providers.openai_wire import whole_object


def body(call: ModerateCall) -> bytes:
    """All texts at once. Raises Rejected for what JSON cannot carry."""
    try:
        return orjson.dumps({"model": call.model, "input": list(call.texts)})
    except TypeError as error:  # a lone surrogate
        raise Rejected(f"The call cannot be written as JSON: {error}.") from None


def read(reply: bytes, call: ModerateCall, who: str) -> ModerateAnswer:
    """Raises Unreadable. Tokens are not counted there."""
    told = whole_object(reply, who)
    spent = Spent(sum(map(tokens.estimate, call.texts)), estimated=True)
    try:
        verdicts = tuple(map(_judged, told["results"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Unreadable(f"{who} gave a verdict that is none.", spent=spent) from None
    if len(verdicts) != len(call.texts):
        raise Unreadable(f"{who} gave {len(verdicts)} verdicts for {len(call.texts)} texts.", spent=spent)
    return ModerateAnswer(verdicts, spent)


def _judged(told: Any) -> Judged:
    """A category that the model does not know is null there."""
    scores = {str(name): float(score) for name, score in told["category_scores"].items() if score is not None}
    categories = {str(name): found for name, found in told["categories"].items() if found is not None}
    if not all(0 <= score <= 1 for score in scores.values()):
        raise ValueError(scores)
    if not all(isinstance(found, bool) for found in (told["flagged"], *categories.values())):
        raise TypeError(categories)
    return Judged(told["flagged"], categories, scores)
