"""Definitions: those that are shipped, YAML files in a folder, and Python modules. All are checked before any of them runs."""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path as File
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agents import OPERATIONS
from agents.pipelines import checking
from agents.pipelines.checking import Flaw, Known
from agents.pipelines.functions import FUNCTIONS, BadFunction, Function
from agents.retrieval import functions as retrieval
from agents.retrieval.files import Files
from agents.retrieval.reading import BOUNDS, Bounds
from providers import marked
from providers.marked import Broken, Marks, Path
from schemas.pipelines import Pipeline

if TYPE_CHECKING:
    from store.database import Database


class BadPipeline(ValueError):
    """A definition cannot run; the message has a line for each flaw, with file, line and column."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """What can be run here, by name, and what its steps may use."""

    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=lambda: FUNCTIONS)

    @property
    def known(self) -> Known:
        return Known(OPERATIONS, self.functions)


def shipped(
    bounds: Bounds = BOUNDS, uploaded: Files | None = None, database: "Database | None" = None
) -> Mapping[str, Function]:
    """What steps may use where nobody adds to it."""
    return {**FUNCTIONS, **retrieval.table(bounds, uploaded, database)}


def load(folder: File | None = None, modules: Iterable[str] = (), there: Mapping[str, Function] | None = None) -> Shelf:
    """The shipped ones, then the folder's, then the modules'. A name stands for one. Raises `BadPipeline`, OSError.
    `there`: functions beside the modules'.
    """
    functions, made = _from_modules(modules, shipped() if there is None else there)
    known = Known(OPERATIONS, functions)
    found: dict[str, tuple[str, Pipeline]] = {}
    files = [(f"shipped {each.name}", each.read_text(encoding="utf-8")) for each in _shipped()]
    files += [(str(path), path.read_text(encoding="utf-8")) for path in _in(folder)]
    for where, pipeline in [(where, read(where, text, known)) for where, text in files] + made:
        if where in dict(made):
            _refuse(where, {}, checking.flaws(pipeline, known))
        if pipeline.name in found:
            words = (
                f"{where}: the pipeline {pipeline.name!r} is in {found[pipeline.name][0]} already; choose another name"
            )
            raise BadPipeline(words)
        found[pipeline.name] = (where, pipeline)
    return Shelf({name: pipeline for name, (_, pipeline) in sorted(found.items())}, functions)


def read(where: str, text: str, known: Known) -> Pipeline:
    """One file. Raises `BadPipeline`."""
    try:
        written, marks = marked.read(text.encode(), where, "`name:` and `steps:`")
    except Broken as error:
        raise BadPipeline(str(error)) from error
    try:
        pipeline = Pipeline.model_validate(written)
    except ValidationError as error:
        _refuse(where, marks, list(_wrong_fields(error, marks)))
        raise
    _refuse(where, marks, checking.flaws(pipeline, known))
    return pipeline


def _refuse(where: str, marks: Marks, flaws: list[Flaw]) -> None:
    if not flaws:
        return
    told = []
    for flaw in flaws:
        line, column = marked.at(marks, flaw.path)
        at = f"{where}:{line}:{column}" if marks else where
        told.append(f"{at}: {_path(flaw.path)}: {flaw.words}" if flaw.path else f"{at}: {flaw.words}")
    raise BadPipeline("\n".join(told))


def _wrong_fields(error: ValidationError, marks: Marks) -> Iterable[Flaw]:
    """A field that is wrong makes all wrong that it stands in; only the innermost are told, and of a value that may be one of
    several things the first.
    """
    found = error.errors(include_url=False, include_input=False)
    inside = {each["loc"][:depth] for each in found for depth in range(len(each["loc"]))}
    told = set[Path]()
    for each in found:
        path = tuple(part for number, part in enumerate(each["loc"]) if _stands(each, number, marks))
        if each["loc"] not in inside and path not in told:
            told.add(path)
            words = each["msg"].removeprefix("Value error, ")
            yield Flaw(path, words[:1].lower() + words[1:])


def _stands(wrong: ErrorDetails, number: int, marks: Marks) -> bool:
    """Whether this part of its way is one of the definition, and not the name of a form that was tried."""
    way = wrong["loc"][: number + 1]
    missing = wrong["type"] == "missing" and len(way) == len(wrong["loc"])
    return missing or any(path[-1:] == way[-1:] and len(path) <= len(way) for path in marks)


def _path(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _shipped() -> list[resources.abc.Traversable]:
    folder = resources.files("agents.pipelines") / "library"
    return sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=lambda each: each.name)


def _in(folder: File | None) -> list[File]:
    if folder is None:
        return []
    return sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})


def _from_modules(
    names: Iterable[str], there: Mapping[str, Function]
) -> tuple[Mapping[str, Function], list[tuple[str, Pipeline]]]:
    """Each module's `FUNCTIONS`, names to `Function` or to plain functions, and its `PIPELINES`, a list."""
    functions, made = dict(there), list[tuple[str, Pipeline]]()
    for name in names:
        try:
            module = importlib.import_module(name)
        except Exception as error:
            raise BadPipeline(f"the module {name} cannot be imported ({type(error).__name__}: {error})") from error
        for called, told in getattr(module, "FUNCTIONS", {}).items():
            functions[called] = _function(f"{name}.FUNCTIONS[{called!r}]", called, told, functions)
        for number, pipeline in enumerate(getattr(module, "PIPELINES", ())):
            if not isinstance(pipeline, Pipeline):
                raise BadPipeline(f"{name}.PIPELINES[{number}] is no `schemas.pipelines.Pipeline`")
            made.append((f"{name}.PIPELINES[{number}]", pipeline))
    return functions, made


def _function(where: str, name: str, told: object, there: Mapping[str, Function]) -> Function:
    if name in OPERATIONS or name in there:
        raise BadPipeline(f"{where}: there is a {name!r} already; choose another name")
    if not callable(told) and not isinstance(told, Function):
        raise BadPipeline(f"{where} is neither a function nor a `Function`")
    made = told if isinstance(told, Function) else Function(told)
    try:
        _ = made.takes, made.output
    except (BadFunction, NameError, ValueError, TypeError) as error:
        raise BadPipeline(f"{where}: {error}") from error
    return made
