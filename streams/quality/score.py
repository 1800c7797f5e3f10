"""How good the results of one operation are: pure functions of labels and results."""

import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.money import from_usd, to_usd
from streams.quality.texts import Text, categories

Pair = tuple[Text, dict[str, Any]]
"""A text and its result, as it is published."""


@dataclass(frozen=True, slots=True)
class Figure:
    """`right` of `of`. A `promise` is one that the spine makes whatever the model: it is 100 %, or something is broken."""

    name: str
    right: int
    of: int
    promise: bool = False

    @property
    def share(self) -> float | None:
        """None: there was nothing to count."""
        return self.right / self.of if self.of else None

    @property
    def kept(self) -> bool:
        return not self.promise or self.right == self.of


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
    told = JUDGES[operation](pairs)
    failures: dict[str, int] = {}
    for _, result in pairs:
        if result["status"] != "succeeded":
            kind = (result.get("error") or {}).get("type") or result["status"]
            failures[kind] = failures.get(kind, 0) + 1
    return Score(
        operation,
        provider,
        model,
        len(pairs),
        told.figures,
        told.f1,
        failures,
        sum(bool(result["warnings"]) for _, result in pairs),
        round(statistics.median(result["latency_ms"] for _, result in pairs)) if pairs else 0,
        sum(each["input_tokens"] for each in usage),
        sum(each["output_tokens"] for each in usage),
        None if None in costs else to_usd(sum(from_usd(cost) or 0 for cost in costs)),
        told.wrong,
    )


@dataclass(frozen=True, slots=True)
class Judged:
    """What the labels say of the results. `wrong`: the texts that were not answered as labelled."""

    figures: Sequence[Figure]
    wrong: Sequence[str]
    f1: float | None = None


def _output(result: dict[str, Any]) -> dict[str, Any] | None:
    return result["output"] if result["status"] == "succeeded" else None


def _answered(pairs: Sequence[Pair]) -> Figure:
    return Figure("answered", sum(_output(result) is not None for _, result in pairs), len(pairs))


def classify(pairs: Sequence[Pair]) -> Judged:
    """Accuracy; and every category was asked for."""
    names = categories()
    given = [(text, output["category"]) for text, result in pairs if (output := _output(result))]
    right = {text.id for text, category in given if category == text.category}
    asked = Figure("asked for", sum(category in names for _, category in given), len(given), promise=True)
    wrong = [text.id for text, _ in pairs if text.id not in right]
    return Judged([_answered(pairs), asked, Figure("accuracy", len(right), len(pairs))], wrong)


def extract(pairs: Sequence[Pair]) -> Judged:
    """Precision and recall of (type, text), each counted once a text, over all texts; every entity stands where it says."""
    hits = named = labelled = grounded = published = 0
    wrong = []
    for text, result in pairs:
        entities = (_output(result) or {}).get("entities", [])
        published += len(entities)
        grounded += sum(text.content[each["start"] : each["end"]] == each["text"] for each in entities)
        found = {(each["type"], _plain(each["text"])) for each in entities}
        gold = {(kind, _plain(name)) for kind, names in text.entities.items() for name in names}
        hits, named, labelled = hits + len(found & gold), named + len(found), labelled + len(gold)
        if found != gold:
            wrong.append(text.id)
    figures = [
        _answered(pairs),
        Figure("grounded", grounded, published, promise=True),
        Figure("precision", hits, named),
        Figure("recall", hits, labelled),
    ]
    return Judged(figures, wrong, 2 * hits / (named + labelled) if named + labelled else None)


def _plain(name: str) -> str:
    """Without an article before it, in small letters: `The Hague` is `hague`, on both sides."""
    return re.sub(r"^the\s+", "", " ".join(name.lower().split()))


def summarize(pairs: Sequence[Pair]) -> Judged:
    """Facts that must be there and those that must not, and figures that the text does not have."""
    there = facts = clean = true = answered = 0
    wrong = []
    for text, result in pairs:
        facts += len(text.must)
        output = _output(result)
        if output is None:
            wrong.append(text.id)
            continue
        summary = output["summary"]
        answered += 1
        covered = sum(any(says(summary, spelling) for spelling in fact) for fact in text.must)
        is_clean = not any(says(summary, lie) for lie in text.must_not)
        is_true = figures(summary) <= figures(text.content)
        there, clean, true = there + covered, clean + is_clean, true + is_true
        if covered < len(text.must) or not (is_clean and is_true):
            wrong.append(text.id)
    return Judged(
        [
            _answered(pairs),
            Figure("facts", there, facts),
            Figure("no false fact", clean, answered),
            Figure("no invented figure", true, answered),
        ],
        wrong,
    )


def says(text: str, words: str) -> bool:
    """Whether a text has these words, from the beginning of one; a figure must end where it ends."""
    ends = r"(?!\d)" if words[-1].isdigit() else ""
    return re.search(rf"(?<![\w.,]){re.escape(words)}{ends}", text, re.IGNORECASE) is not None


def figures(text: str) -> set[str]:
    """Numbers in digits, with thousands as they may be written."""
    return {number.replace(",", "").rstrip(".") for number in re.findall(r"\d[\d,.]*", text)}


JUDGES: dict[str, Callable[[Sequence[Pair]], Judged]] = {
    "classify": classify,
    "extract": extract,
    "summarize": summarize,
}
