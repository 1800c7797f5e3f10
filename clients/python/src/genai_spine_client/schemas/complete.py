# Made by `python -m scripts.client` from schemas/complete.py; change it there.
"""complete: a chat or a bare prompt, answered as it comes."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from genai_spine_client.schemas import sizes
from genai_spine_client.schemas.chat import Choose, Keep, Params, Tool, Turn
from genai_spine_client.schemas.text import Content, exactly_one


class Input(BaseModel):
    """Either `messages` or `prompt`.

    `repair`: an answer that is not as `output_schema` says is asked for once more, and fails then; else it comes as it is.
    `whole`: without `max_tokens` the answer ends where the model ends it, and not at 512 tokens.
    `truncate`: where the chat is too long for the model, its oldest turns are left out.
    `keep`: what a provider is asked to keep ready; Anthropic's is, others keep what they like by themselves.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one("messages", "prompt"))

    messages: Annotated[Annotated[list[Turn], Field(min_length=1, max_length=sizes.MOST_TURNS)] | None, sizes.CHAT] = (
        None
    )
    prompt: Content | None = None
    output_schema: dict[str, Any] | None = None
    json_object: bool = False
    repair: bool = True
    whole: bool = False
    truncate: bool = False
    tools: Annotated[list[Tool], Field(min_length=1, max_length=sizes.MOST_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | Choose | None = None
    parallel_tool_calls: bool | None = None
    n: Annotated[int, Field(ge=1, le=16, strict=True)] = 1
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=8)] = []
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] | None = None
    logprobs: Annotated[int, Field(strict=True, ge=0, le=20)] | None = None
    params: Params = Params()
    keep: Annotated[list[Keep], Field(max_length=sizes.MOST_KEPT)] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "Input":
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("give either `messages` or `prompt`")
        if self.tool_choice not in (None, "none") and not self.tools:
            raise ValueError("`tool_choice` needs `tools`")
        if isinstance(self.tool_choice, Choose) and self.tool_choice.function.name not in self.tool_names():
            raise ValueError(f"`tool_choice` names {self.tool_choice.function.name!r}, which is not among `tools`")
        if self.output_schema is not None and self.json_object:
            raise ValueError("give either `output_schema` or `json_object`")
        for i, each in enumerate(self.keep):
            if not self._has(each):
                raise ValueError(f"`keep.{i}` names one block of a turn, or one tool, that is there")
        return self

    def _has(self, place: Keep) -> bool:
        turns, tools = self.messages or [], self.tools or []
        if place.turn is None:
            return place.tool is not None and place.tool < len(tools)
        return place.tool is None and place.turn < len(turns) and place.block < turns[place.turn].blocks()

    def tool_names(self) -> list[str]:
        """Of the functions that the model may ask for."""
        return [tool.function.name for tool in self.tools or []]


class Choice(BaseModel):
    """One of `n` answers."""

    content: str
    parsed: Any = None
    tool_calls: list[dict[str, Any]] = []
    refusal: str | None = None
    reasoning: str | None = None
    logprobs: list[dict[str, Any]] | None = None
    finish_reason: str


class Output(Choice):
    """The first answer, flat; all of them in `choices` when `n` > 1."""

    choices: list[Choice] | None = None
