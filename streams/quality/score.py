"""How good the results of one operation are: pure functions of labels and results."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.money import from_usd, to_usd
from streams.quality.figures import Figure, Output
from streams.quality.forms import fits
from streams.quality.judges import JUDGES
from streams.quality.texts import Text

Pair = tuple[Text, dict[str, Any]]
"""A text and its result, as it is published."""


@dataclass(frozen=True, slots=True)
class Score:
    """One model on one operation. `f1` only for extract."""

    operation: str
    provider: str
    model: str
    items: int
    figures: Sequence[Figure]
    f1: float | None
    failures: dict[str, int]
    warned: int
    median_ms: int
    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    wrong: Sequence[str] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        told = {name: getattr(self, name) for name in self.__slots__ if name not in {"figures", "wrong"}}
        figures = {each.name: {"right": each.right, "of": each.of, "share": each.share} for each in self.figures}
        return {**told, "figures": figures, "wrong": list(self.wrong)}


def score(operation: str, provider: str, model: str, pairs: Sequence[Pair]) -> Score:
    """What failed counts as not answered, and as wrong in everything that the labels ask for."""
    usage = [result["usage"] for _, result in pairs]
    costs = [each["cost_usd"] for each in usage]
    given = [(text, _output(operation, result)) for text, result in pairs]
    told = JUDGES[operation](given)
    return Score(
        operation,
        provider,
        model,
        len(pairs),
        [*_forms(pairs, [output for _, output in given]), *told.figures],
        told.f1,
        dict(Counter(_kind(result) for _, result in pairs if not _succeeded(result))),
        sum(bool(result["warnings"]) for _, result in pairs),
        round(statistics.median(result["latency_ms"] for _, result in pairs)) if pairs else 0,
        sum(each["input_tokens"] for each in usage),
        sum(each["output_tokens"] for each in usage),
        None if None in costs else to_usd(sum(from_usd(cost) or 0 for cost in costs)),
        told.wrong,
    )


def _forms(pairs: Sequence[Pair], outputs: Sequence[Output]) -> list[Figure]:
    """What is counted of every operation."""
    answered = sum(_succeeded(result) for _, result in pairs)
    valid = sum(output is not None for output in outputs)
    return [Figure("answered", answered, len(pairs)), Figure("valid JSON", valid, answered, promise=True)]


def _output(operation: str, result: dict[str, Any]) -> Output:
    return result["output"] if _succeeded(result) and fits(operation, result["output"]) else None


def _succeeded(result: dict[str, Any]) -> bool:
    return bool(result["status"] == "succeeded")


def _kind(result: dict[str, Any]) -> str:
    kind: str = (result.get("error") or {}).get("type") or result["status"]
    return kind
