"""Which runs there are: the table of contents, and the words of others for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from agents import OPERATIONS
from schemas.request import Options
from schemas.runs import NewRun
from streams.aliases import own_names
from streams.jobs import JOBS
from streams.jobs.base import Job

OPTIONS = frozenset(Options.model_fields)
"""Names that stand among `params` and are options of each item."""

NAMES: Mapping[str, str] = MappingProxyType({"completion": "complete"})
"""Other names of runs."""
LANES: Mapping[str, str] = MappingProxyType({"low": "batch"})
"""Other names of lanes."""


class BadRun(ValueError):
    """What was asked for is no run; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A run of one operation. `many`: the name under which its items are given; None: it has one. `told`: the name under which
    its answers are collected, and what of each answer; all of it where that is None.
    """

    operation: str
    many: str | None = None
    told: tuple[str, Callable[[Mapping[str, Any]], Any] | None] = ("result", None)
    job: Job | None = None
    """It calls no model: the program does it itself."""


def _field(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda output: output[name]


def _category(output: Mapping[str, Any]) -> Any:
    return {name: output.get(name) for name in ("category", "categories", "confidence") if output.get(name) is not None}


KINDS: Mapping[tuple[str, str], Kind] = MappingProxyType(
    {
        **{("task", name): Kind(name) for name in OPERATIONS},
        **{("task", name): Kind(name, job=job) for name, job in JOBS.items()},
        ("workflow", "batch_summarize"): Kind("summarize", "texts", ("summaries", _field("summary"))),
        ("workflow", "batch_extract"): Kind("extract", "texts", ("extractions", None)),
        ("workflow", "batch_classify"): Kind("classify", "texts", ("classifications", _category)),
        ("workflow", "batch_embed"): Kind("embed", "texts", ("embeddings", lambda output: output["embeddings"][0])),
        ("workflow", "batch_complete"): Kind("complete", "prompts", ("completions", _field("content"))),
        ("workflow", "batch_execute_prompt"): Kind("execute_prompt", "variables", ("answers", _field("content"))),
    }
)
_ONE: Mapping[str, str] = MappingProxyType({"texts": "content", "prompts": "prompt", "variables": "variables"})
"""What a single item of a list becomes, where it is no object of input fields."""


def of(new: NewRun) -> tuple[str, Kind]:
    """The name by which it is kept, and what it is. Raises `BadRun`, which names those that there are."""
    name = own_name(new.name)
    found = KINDS.get((new.kind, name))
    if found is None:
        known = sorted(each for kind, each in KINDS if kind == new.kind)
        near = get_close_matches(name, known, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise BadRun(f"there is no {new.kind} {new.name!r}; there are {', '.join(known) or 'none'}{hint}")
    return name, found


def own_name(name: str) -> str:
    """By which a run of that name is kept, whichever word it was asked by."""
    plain = name.removeprefix("genai.")
    return NAMES.get(plain, plain).replace("-", "_")


def is_job(run: Any) -> bool:
    """Whether a row of runs is no work of models."""
    found = KINDS.get((run.kind, run.name))
    return found is not None and found.job is not None


def lane_of(new: NewRun) -> str:
    """Realtime, normal or batch; a workflow is patient unless it says otherwise. Raises `BadRun` where both words differ."""
    given = {LANES.get(word, word) for word in (new.priority, new.lane) if word not in {None, "gpu", "any"}}
    if len(given) > 1:
        raise BadRun(f"priority {new.priority!r} and lane {new.lane!r} name different lanes; give one of them")
    return given.pop() if given else "batch" if new.kind == "workflow" else "normal"


def options_of(new: NewRun) -> dict[str, Any]:
    """Of each item."""
    found = new.options.model_dump(exclude_unset=True)
    found |= {name: value for name, value in new.params.items() if name in OPTIONS}
    return found | ({"resource": "gpu"} if new.lane == "gpu" else {})


def common(new: NewRun, kind: Kind) -> dict[str, Any]:
    """What `params` say of every item's input."""
    return own_names(kind.operation, {name: value for name, value in new.params.items() if name not in OPTIONS})


def inputs(new: NewRun, kind: Kind) -> list[dict[str, Any]]:
    """The items' inputs, in their order. Raises `BadRun`."""
    fields = common(new, kind)
    if kind.many is None:
        return [fields]
    name = kind.many if kind.many in fields else "items"
    listed = fields.pop(name, None)
    if not isinstance(listed, Sequence) or isinstance(listed, str):
        raise BadRun(f"`params.{kind.many}` is missing or no list; give the items there, or send them as JSON Lines")
    if not listed:
        raise BadRun(f"`params.{name}` is empty; give at least one item")
    return [fields | _listed(item, kind) for item in listed]


def check_lines(new: NewRun, kind: Kind) -> None:
    """Whether its items can come as lines. Raises `BadRun`."""
    if kind.many is None:
        raise BadRun(f"a {new.kind} {new.name!r} has one item; send its params as JSON")
    listed = [name for name in (kind.many, "items") if isinstance(new.params.get(name), list)]
    if listed:
        raise BadRun(f"`params.{listed[0]}` is a list of items, and the lines are the items; leave it out")


def _listed(item: Any, kind: Kind) -> dict[str, Any]:
    """Among params each item is the thing that the list is called after; variables are an object themselves."""
    return {"variables": item} if kind.many == "variables" else item_input(item, kind)


def item_input(item: Any, kind: Kind) -> dict[str, Any]:
    """One item's input: an object of its fields, or the one thing that it is about."""
    if isinstance(item, dict):
        return own_names(kind.operation, item)
    return {_ONE.get(kind.many or "", "content"): item}
