"""Two answers to the same request, held against each other: pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import orjson

from schemas.money import from_usd, to_usd
from schemas.replay import Answered, Compared, Comparison, Example, Side
from store.ledger.replays import Pair

MOST_FIELDS = 20
"""Of one answer; what differs beyond is counted with the last of them."""
MOST_EXAMPLES = 5
"""Requests of which is shown what both said."""
_MOST_EACH, _MOST_LETTERS = 3, 600
_PROMPTS = "execute_prompt"
OUTCOMES = ("same", "changed", "failed", "unfinished", "left_out")


def compared(pair: Pair) -> Compared:
    """`same`: the same status and output. `failed`: the replay did not succeed. `changed`: anything else that has ended."""
    named = {"id": pair.id, "operation": pair.operation, "tenant": pair.tenant}
    first, second = _both(pair)
    told = Compared(**named, outcome="left_out", original=_answered(first), replay=_answered(second))
    if not pair.asked:
        return told
    if second is None:
        return told.model_copy(update={"outcome": "unfinished"})
    fields = fields_of(first, second)
    if second["status"] != "succeeded":
        return told.model_copy(update={"outcome": "failed", "fields": fields})
    return told.model_copy(update={"outcome": "changed" if fields else "same", "fields": fields})


def _both(pair: Pair) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """By which version `execute_prompt` asked is no part of what was answered."""
    found = _load(pair.original), _load(pair.replay)
    for result in found:
        if pair.operation == _PROMPTS and result is not None and isinstance(result.get("output"), dict):
            result["output"] = {name: told for name, told in result["output"].items() if name != "prompt"}
    return found


def _load(body: bytes | None) -> dict[str, Any] | None:
    return None if body is None else dict(orjson.loads(body))


def _answered(result: Mapping[str, Any] | None) -> Answered | None:
    if result is None:
        return None
    error = result.get("error") or {}
    return Answered(
        status=result["status"],
        error_type=error.get("type"),
        provider=result["provider"],
        model=result["model"],
        cost_usd=result["usage"]["cost_usd"],
        latency_ms=result["latency_ms"],
    )


def fields_of(first: Mapping[str, Any] | None, second: Mapping[str, Any]) -> list[str]:
    """Where two results differ, by path: `status`, `error.type`, `output.entities[2].type`. Without a first one: `status`."""
    return [path for path, _, _ in _differences(first, second)]


def _differences(first: Mapping[str, Any] | None, second: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    if first is None:
        return [("status", None, second["status"])]
    one, two = (each.get("error") or {} for each in (first, second))
    pairs = [("status", first["status"], second["status"]), ("error.type", one.get("type"), two.get("type"))]
    found = [pair for pair in pairs if pair[1] != pair[2]]
    for pair in _differing("output", first.get("output"), second.get("output")):
        if len(found) >= MOST_FIELDS:
            break
        found.append(pair)
    return found


def _differing(path: str, first: Any, second: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(first, dict) and isinstance(second, dict):
        for name in sorted(first.keys() | second.keys()):
            yield from _differing(f"{path}.{name}", first.get(name), second.get(name))
    elif _are_lists_of_objects(first, second):
        for n, (one, other) in enumerate(zip(first, second, strict=True)):
            yield from _differing(f"{path}[{n}]", one, other)
    elif first != second:
        yield path, first, second


def examples_of(pair: Pair) -> list[Example]:
    """What both said, where they differ; nothing where one of them said nothing yet."""
    first, second = _both(pair)
    if first is None or second is None:
        return []
    return [
        Example(
            id=pair.id, operation=pair.operation, tenant=pair.tenant, field=path, before=_text(one), after=_text(two)
        )
        for path, one, two in _differences(first, second)[:_MOST_EACH]
    ]


def _text(told: Any) -> str:
    words = told if isinstance(told, str) else orjson.dumps(told).decode()
    return words if len(words) <= _MOST_LETTERS else f"{words[:_MOST_LETTERS]}…"


def _are_lists_of_objects(first: Any, second: Any) -> bool:
    """Item by item only where there are as many; of a list of numbers or words it is enough that it differs."""
    if not (isinstance(first, list) and isinstance(second, list)) or len(first) != len(second):
        return False
    return all(isinstance(each, dict) for each in (*first, *second))


def comparison(run: str, pairs: Iterable[Pair], *, left_out: Sequence[int] = (0, 0), ended: bool) -> Comparison:
    """All of a run. `left_out`: how many were not asked, and what they were feared to cost, in nano-dollars."""
    items, examples, shown = [], list[Example](), 0
    for pair in pairs:
        items.append(compared(pair))
        if shown < MOST_EXAMPLES and items[-1].fields and pair.original and (found := examples_of(pair)):
            examples, shown = examples + found, shown + 1
    counts = Counter(str(item.outcome) for item in items)
    fields = Counter(path for item in items for path in map(_without_places, item.fields))
    both = [item for item in items if item.replay is not None]
    return Comparison(
        run=run,
        ended=ended,
        counts={name: counts[name] for name in OUTCOMES},
        fields=dict(sorted(fields.items(), key=lambda found: (-found[1], found[0]))),
        original=_side([item.original for item in both]),
        replay=_side([item.replay for item in both]),
        left_out_usd=to_usd(left_out[1]) or "0.000000",
        examples=examples,
        items=items,
    )


def _without_places(path: str) -> str:
    return "".join(part.partition("]")[2] if n else part for n, part in enumerate(path.split("[")))


def _side(found: Sequence[Answered | None]) -> Side:
    """Both sides are about the same requests: those whose replay has ended."""
    there = [each for each in found if each is not None]
    latencies = [each.latency_ms for each in there]
    nano = sum(from_usd(each.cost_usd) or 0 for each in there)
    return Side(
        answers=len(there),
        cost_usd=to_usd(nano) or "0.000000",
        unpriced=sum(1 for each in there if each.cost_usd is None),
        latency_ms_median=round(median(latencies)) if latencies else 0,
        models=sorted({f"{each.provider}/{each.model}" for each in there}),
    )
