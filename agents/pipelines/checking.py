"""What is wrong with a definition, before anything of it runs: each flaw with the place where it stands. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from agents.base import Operation
from agents.pipelines import conditions, references, shapes
from agents.pipelines.functions import Function
from agents.pipelines.references import EACH, BadReference, Node, Reference, Words
from agents.pipelines.shapes import ANYTHING, Shape
from providers.marked import Path
from schemas.pipelines import Pipeline, Step
from schemas.request import Options

OPTIONS = frozenset(Options.model_fields)


@dataclass(frozen=True, slots=True)
class Flaw:
    """`path` leads to it from the definition's top."""

    path: Path
    words: str


@dataclass(frozen=True, slots=True)
class Known:
    """What steps may use."""

    operations: Mapping[str, Operation]
    functions: Mapping[str, Function]

    def near(self, name: str) -> str:
        return _near(name, [*self.operations, *self.functions])


def flaws(pipeline: Pipeline, known: Known) -> list[Flaw]:
    """In the order of the definition; none: it can run."""
    found = [*_inputs(pipeline), *_names(pipeline)]
    found += [flaw for number, step in enumerate(pipeline.steps) for flaw in _step(pipeline, number, step, known)]
    found += _tree(pipeline, ("collect",), pipeline.collects, known, None)
    return found or list(_cycle(pipeline))


def needs(step: Step) -> frozenset[str]:
    """The steps that must have ended before this one begins. Raises `BadReference`."""
    nodes = [references.read(part) for part in (step.map, step.with_, step.options)] + conditions.tree(step.when)
    found = {each.step for node in nodes for each in references.references(node) if each.step is not None}
    return frozenset(found | set(step.after))


def _inputs(pipeline: Pipeline) -> Iterator[Flaw]:
    for name, given in pipeline.inputs.items():
        path: Path = ("inputs", name)
        if name in OPTIONS:
            yield Flaw(
                path, f"{name!r} is the name of an option, which a run may give beside its inputs; choose another"
            )
        if not given.required and given.default is not None:
            why = shapes.wrong_input(given.default, given)
            if why is not None:
                yield Flaw((*path, "default"), f"the default {why}")
        for number, value in enumerate(given.among):
            why = shapes.wrong(value, given.type, given.of)
            if why is not None:
                yield Flaw((*path, "among", number), why)


def _names(pipeline: Pipeline) -> Iterator[Flaw]:
    seen: set[str] = set()
    for number, step in enumerate(pipeline.steps):
        if step.name in seen:
            yield Flaw(("steps", number, "name"), f"a step {step.name!r} stands above already; choose another name")
        seen.add(step.name)
        for place, name in enumerate(step.after):
            if name not in (known := [each.name for each in pipeline.steps]):
                yield Flaw(("steps", number, "after", place), f"there is no step {name!r}{_near(name, known)}")


def _step(pipeline: Pipeline, number: int, step: Step, known: Known) -> Iterator[Flaw]:
    at: Path = ("steps", number)
    for part in ("map", "with", "options"):
        yield from _tree(pipeline, (*at, part), getattr(step, "with_" if part == "with" else part), known, step)
    yield from _when(pipeline, (*at, "when"), step, known)
    if step.maps and _each(pipeline, step, known) is None:
        yield Flaw((*at, "map"), "is no list; `map` does the step once for each item of a list")
    operation, function = known.operations.get(step.use), known.functions.get(step.use)
    if operation is not None:
        yield from _operation(pipeline, at, step, operation, known)
        yield from _options(at, step)
    elif function is not None:
        yield from _function(pipeline, at, step, function, known)
        if step.options:
            yield Flaw((*at, "options"), f"{step.use!r} is a function and calls no model; options are for operations")
    else:
        there = f"operations {', '.join(known.operations)}; functions {', '.join(known.functions)}"
        yield Flaw((*at, "use"), f"there is no {step.use!r}{known.near(step.use)}; there are the {there}")


def _options(at: Path, step: Step) -> Iterator[Flaw]:
    for name, value in step.options.items():
        path = (*at, "options", name)
        if name not in OPTIONS:
            yield Flaw(
                path, f"there is no option {name!r}{_near(name, OPTIONS)}; there are {', '.join(sorted(OPTIONS))}"
            )
        try:
            roots = {each.root for each in references.references(references.read(value))}
        except BadReference:
            continue  # told already
        if roots - {"inputs"}:
            yield Flaw(
                path,
                "an option may refer to inputs only: who submits a run is asked then whether it may use that model",
            )


def _operation(pipeline: Pipeline, at: Path, step: Step, operation: Operation, known: Known) -> Iterator[Flaw]:
    whole = shapes.taken(operation.input)
    fields = {name: Shape(each, whole.defs) for name, each in whole.schema.get("properties", {}).items()}
    yield from _given(pipeline, at, step, fields, whole.schema.get("required", ()), known)


def _function(pipeline: Pipeline, at: Path, step: Step, function: Function, known: Known) -> Iterator[Flaw]:
    fields = function.inputs
    required = [name for name, each in function.takes.items() if each.default is each.empty]
    yield from _given(pipeline, at, step, fields, required, known)


def _given(
    pipeline: Pipeline, at: Path, step: Step, fields: Mapping[str, Shape], required: Sequence[str], known: Known
) -> Iterator[Flaw]:
    for name in required:
        if name not in step.with_:
            yield Flaw((*at, "with"), f"{step.use!r} needs `{name}`; give it under `with`")
    for name, value in step.with_.items():
        path = (*at, "with", name)
        if name not in fields:
            yield Flaw(
                path, f"{step.use!r} takes no `{name}`{_near(name, fields)}; it takes {', '.join(fields) or 'nothing'}"
            )
            continue
        try:
            shape = _shape(pipeline, references.read(value), known, step)
        except (BadReference, _Nothing):
            continue  # told already
        if not shapes.fits(shape, fields[name]):
            yield Flaw(path, f"{_told(value)} is {shapes.word(shape)}, and `{name}` takes {shapes.word(fields[name])}")


def _when(pipeline: Pipeline, path: Path, step: Step, known: Known) -> Iterator[Flaw]:
    try:
        nodes = conditions.tree(step.when)
    except BadReference as error:
        yield Flaw(path, str(error))
        return
    for node in nodes:
        yield from _nodes(pipeline, path, node, known, step)


def _tree(pipeline: Pipeline, path: Path, value: Any, known: Known, step: Step | None) -> Iterator[Flaw]:
    """Every reference below, each told at its own place."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _tree(pipeline, (*path, name), each, known, step)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _tree(pipeline, (*path, number), each, known, step)
    else:
        try:
            node = references.read(value)
        except BadReference as error:
            yield Flaw(path, str(error))
            return
        yield from _nodes(pipeline, path, node, known, step)


def _nodes(pipeline: Pipeline, path: Path, node: Node, known: Known, step: Step | None) -> Iterator[Flaw]:
    for each in references.references(node):
        try:
            _of(pipeline, each, known, step, in_map="map" in path)
        except _Nothing as error:
            yield Flaw(path, str(error))


class _Nothing(Exception):
    """A reference that leads to nothing."""


def _shape(pipeline: Pipeline, node: Node, known: Known, step: Step | None) -> Shape:
    if isinstance(node, Reference):
        return _of(pipeline, node, known, step)
    if isinstance(node, Words):
        return Shape({"type": "string"})
    if isinstance(node, list) and node:
        inner = [_shape(pipeline, each, known, step) for each in node]
        return shapes.listed(inner[0] if len(inner) == 1 else ANYTHING)
    return shapes.of_value(node)


def _of(pipeline: Pipeline, found: Reference, known: Known, step: Step | None, *, in_map: bool = False) -> Shape:
    """What it leads to. Raises `_Nothing`."""
    if found.root == "inputs":
        name = found.path[0]
        if name not in pipeline.inputs:
            there = ", ".join(pipeline.inputs) or "none"
            raise _Nothing(f"{found.text}: there is no input {name!r}{_near(name, pipeline.inputs)}; there are {there}")
        given = pipeline.inputs[name]
        return _along(shapes.of_input(given.type, given.of), found.path[1:], found.text)
    if found.root == "steps":
        return _of_step(pipeline, found, known)
    if step is None or not step.maps or in_map:
        raise _Nothing(f"{found.text} is there only in a step with `map`, and not in its `map` itself")
    if found.root == "index":
        return Shape({"type": "integer"})
    return _along(_each(pipeline, step, known) or ANYTHING, found.path, found.text)


def _of_step(pipeline: Pipeline, found: Reference, known: Known) -> Shape:
    assert found.step is not None
    try:
        meant = pipeline.step(found.step)
    except KeyError:
        names = [each.name for each in pipeline.steps]
        raise _Nothing(
            f"{found.text}: there is no step {found.step!r}{_near(found.step, names)}; there are {', '.join(names)}"
        ) from None
    if found.what == "status":
        return Shape({"type": "string"})
    if meant.on_error == "default":
        return ANYTHING  # the default may be anything
    shape = output_of(meant.use, known)
    return _along(shapes.listed(shape) if meant.maps else shape, found.path, found.text)


def output_of(use: str, known: Known) -> Shape:
    """What an operation or a function gives."""
    if use in known.operations:
        return shapes.given(known.operations[use].output)
    return known.functions[use].output if use in known.functions else ANYTHING


def _each(pipeline: Pipeline, step: Step, known: Known) -> Shape | None:
    """An item of the list that is mapped; None: it is no list."""
    try:
        node = references.read(step.map)
        if isinstance(node, list):
            return ANYTHING
        if isinstance(node, Reference) and node.root in ("inputs", "steps") and node.step != step.name:
            return _of(pipeline, node, known, None).item()
    except (BadReference, _Nothing):
        return ANYTHING  # told already
    return None


def _along(shape: Shape, path: Sequence[Any], text: str) -> Shape:
    """Raises `_Nothing`."""
    for number, part in enumerate(path):
        if part is EACH or isinstance(part, int):
            inner = shape.item()
            if inner is None:
                raise _Nothing(f"{text}: there is no list before {'[*]' if part is EACH else f'[{part}]'}")
            if part is EACH:
                return shapes.listed(_along(inner, path[number + 1 :], text))
            shape = inner
            continue
        below = shape.below(part)
        if below is None:
            there = shape.names()
            hint = f"; there are {', '.join(there)}" if there else f"; it is {shapes.word(shape)}"
            raise _Nothing(f"{text}: there is no {part!r} in it{_near(part, there)}{hint}")
        shape = below
    return shape


def _cycle(pipeline: Pipeline) -> Iterator[Flaw]:
    """One way around, if there is any: its steps wait for each other."""
    before = {step.name: needs(step) for step in pipeline.steps}
    ended: set[str] = set()
    while ready := [name for name, wanted in before.items() if name not in ended and wanted <= ended]:
        ended.update(ready)
    left = [step for step in pipeline.steps if step.name not in ended]
    if not left:
        return
    way = [left[0].name]
    while (next_ := min(before[way[-1]] - ended)) not in way:
        way.append(next_)
    way = [*way[way.index(next_) :], next_]
    number = [step.name for step in pipeline.steps].index(way[0])
    yield Flaw(("steps", number), f"steps wait for each other in a ring: {' → '.join(way)}")


def _near(name: str, known: Any) -> str:
    found = get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def _told(value: Any) -> str:
    return repr(value)[:80] if not isinstance(value, str) else value[:80]
