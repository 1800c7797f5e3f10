"""Precision and recall of (type, text), each counted once a text, over all texts; every entity stands where it says."""

import re
from collections.abc import Sequence
from dataclasses import replace

from streams.quality.figures import Answer, Figure, Judged, Output, summed
from streams.quality.texts import Text


def judge(answers: Sequence[Answer]) -> Judged:
    judged = summed(answers, _look)
    hits = [(figure.right, figure.of) for figure in judged.figures if figure.name in {"precision", "recall"}]
    among = sum(of for _, of in hits)
    return replace(judged, f1=sum(right for right, _ in hits) / among if among else None)


def _look(text: Text, output: Output) -> list[Figure]:
    entities = output["entities"] if output else []
    grounded = sum(text.content[each["start"] : each["end"]] == each["text"] for each in entities)
    found = {(each["type"], _plain(each["text"])) for each in entities}
    gold = {(kind, _plain(name)) for kind, names in text.entities.items() for name in names}
    hits = len(found & gold)
    return [
        Figure("grounded", grounded, len(entities), promise=True),
        Figure("precision", hits, len(found)),
        Figure("recall", hits, len(gold)),
    ]


def _plain(name: str) -> str:
    """Without an article before it, in small letters: `The Hague` is `hague`, on both sides."""
    return re.sub(r"^the\s+", "", " ".join(name.lower().split()))
