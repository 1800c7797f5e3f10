"""What a prompt is given: the types of its variables, and which values each may have."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prompts.naming import some

VariableType = Literal["content", "text", "integer", "number", "boolean", "texts", "json"]


class Variable(BaseModel):
    """What a prompt is given. `content` is a user's text, put between delimiters; `text` is a wish in words.

    Without `default` it must be given; `default: null` makes it optional. A default that the variable may not have is refused
    here: every request that relied on it would fail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    type: VariableType
    default: Any = None
    description: str = ""
    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    """The only values that it may have."""
    least: float | None = None
    """Of a number; of a text or a list its length."""
    most: float | None = None

    @model_validator(mode="after")
    def _can_be_had(self) -> "Variable":
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(
                f"the variable '{self.name}' cannot be at least {self.least:g} and at most {self.most:g}; swap them"
            )
        offered = [("choice", value) for value in self.choices or ()]
        if self.default is not None:
            offered.append(("default", self.default))
        for what, value in offered:
            if (why := self.unfit(value)) is not None:
                raise ValueError(f"the variable '{self.name}' cannot have the {what} {repr(value)[:100]}: it {why}")
        return self

    @property
    def required(self) -> bool:
        return "default" not in self.model_fields_set

    def unfit(self, value: Any) -> str | None:
        """What is wrong with a value, as the end of a sentence about the variable; None: nothing."""
        if not _FITS[self.type](value):
            return f"is {self.type}, not {type(value).__name__}"
        if self.choices is not None and value not in self.choices:
            return f"is none of {some(map(repr, self.choices))}"
        return self._beyond(value)

    def _beyond(self, value: Any) -> str | None:
        is_sized = hasattr(value, "__len__")
        size = len(value) if is_sized else value
        if isinstance(value, bool) or not isinstance(size, int | float):
            return None
        what = "items" if isinstance(value, list | dict) else "characters"
        if self.least is not None and size < self.least:
            return f"has {size} {what}, fewer than {self.least:g}" if is_sized else f"is below {self.least:g}"
        if self.most is not None and size > self.most:
            return f"has {size} {what}, more than {self.most:g}" if is_sized else f"is above {self.most:g}"
        return None

    def told(self) -> list[Any]:
        """What a wording depends on of it; checks only where there are any, so that older digests stand."""
        checks = self.model_dump(include={"choices", "least", "most"}, exclude_none=True)
        plain = [self.name, self.type, self.required, self.default]
        return [*plain, checks] if checks else plain


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_json(value: Any) -> bool:
    """Exact types only: a subclass could bring methods into the sandbox."""
    if isinstance(value, dict):
        return type(value) is dict and all(type(key) is str and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(_is_json, value))
    return value is None or type(value) in {str, int, float, bool}


_FITS = {
    "content": lambda value: type(value) is str,
    "text": lambda value: type(value) is str,
    "integer": lambda value: type(value) is int,
    "number": _is_number,
    "boolean": lambda value: type(value) is bool,
    "texts": lambda value: type(value) is list and all(type(item) is str for item in value),
    "json": _is_json,
}
