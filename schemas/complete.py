"""complete: a chat or a bare prompt, answered as it comes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.text import Content, exactly_one


class Turn(BaseModel):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, Field(strict=True)]


class Input(BaseModel):
    """Either `messages` or `prompt`."""

    model_config = ConfigDict(json_schema_extra=exactly_one("messages", "prompt"))

    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)] | None = None
    prompt: Content | None = None
    output_schema: dict[str, Any] | None = None
    n: Annotated[int, Field(ge=1, le=16, strict=True)] = 1
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=8)] = []
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Input":
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give either `messages` or `prompt`")
        return self


class Choice(BaseModel):
    """One of `n` answers."""

    content: str
    parsed: Any = None
    finish_reason: str


class Output(BaseModel):
    """The first answer, flat; all of them in `choices` when `n` > 1."""

    content: str
    parsed: Any = None
    tool_calls: list[dict[str, Any]] = []
    finish_reason: str
    choices: list[Choice] | None = None
