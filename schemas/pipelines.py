"""A pipeline: named steps, each of which uses an operation or a function, and what of their results is the run's own."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PipelineName = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]
StepName = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
InputType = Literal["text", "integer", "number", "boolean", "list", "object", "any"]
_COMPARED = ("equals", "not_equals", "among", "contains", "above", "below", "is_empty")


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Declared(_Words):
    """What a run is given under this name. Without `default` it must be given; `of`: what a list holds; `among`: all that it may be."""

    type: InputType = "text"
    of: InputType = "any"
    among: tuple[Any, ...] = ()
    default: Any = None
    description: str = ""

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set


class Condition(_Words):
    """One comparison of `value`, or several joined by `all`, `any` or `not`. A `value` alone holds where it is true and not empty."""

    value: Any = None
    equals: Any = None
    not_equals: Any = None
    among: Any = None
    contains: Any = None
    above: Any = None
    below: Any = None
    is_empty: bool | None = None
    all: Annotated[tuple["Condition", ...], Field(min_length=1)] | None = None
    any: Annotated[tuple["Condition", ...], Field(min_length=1)] | None = None
    not_: Annotated["Condition | None", Field(alias="not")] = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Condition":
        said = self.model_fields_set
        compared = sorted(said & set(_COMPARED))
        joined = sorted(name.rstrip("_") for name in said & {"all", "any", "not_"})
        if len(joined) + ("value" in said) != 1:
            raise ValueError("says not one thing: give `value`, or one of `all`, `any` and `not`")
        if len(compared) > 1 or (compared and joined):
            raise ValueError(f"compares in more than one way ({', '.join(compared + joined)}); join them by `all`")
        return self

    @property
    def compares(self) -> str | None:
        """The one comparison that it makes; None: whether `value` is true."""
        return next((name for name in _COMPARED if name in self.model_fields_set), None)


class Step(_Words):
    """`use` names an operation or a function, `with` its input. `map`: a list, for each item of which it is done once.

    `on_error`: what a failure means. `fail` ends the run; `skip` puts null in the output's place, `default` puts `default`.
    """

    name: StepName
    use: Annotated[str, Field(strict=True, min_length=1, max_length=100)]
    with_: Annotated[dict[str, Any], Field(alias="with")] = {}
    map: Any = None
    when: Condition | str | bool | None = None
    after: tuple[StepName, ...] = ()
    options: dict[str, Any] = {}
    on_error: Literal["fail", "skip", "default"] = "fail"
    default: Any = None
    description: str = ""

    @model_validator(mode="after")
    def _has_its_default(self) -> "Step":
        if (self.on_error == "default") != ("default" in self.model_fields_set):
            raise ValueError("`default` and `on_error: default` go together; give both or neither")
        return self

    @property
    def maps(self) -> bool:
        return "map" in self.model_fields_set


class Pipeline(_Words):
    """Steps run as soon as what they refer to is there. `collect` is the run's result; without it, the last step's output."""

    name: PipelineName
    description: str = ""
    inputs: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)], Declared] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=200)]
    collect: Any = None

    def step(self, name: str) -> Step:
        """Raises KeyError."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    @property
    def collects(self) -> Any:
        """What becomes the result."""
        return self.collect if "collect" in self.model_fields_set else f"${{steps.{self.steps[-1].name}.output}}"
