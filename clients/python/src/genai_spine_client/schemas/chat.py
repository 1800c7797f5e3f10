# Made by `python -m scripts.client` from schemas/chat.py; change it there.
"""The parts of a chat, in OpenAI's shapes: turns, tools, and the wishes that models know under common names."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from genai_spine_client.schemas import sizes

_Strict = ConfigDict(extra="forbid")
ToolName = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: Annotated[str, Field(strict=True)]


class ImageUrl(BaseModel):
    """Where a picture is: an `https:` or a `data:` URL."""

    url: Annotated[str, Field(strict=True, pattern=r"^(https?://|data:image/)")]
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(BaseModel):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


def _kind(part: Any) -> str | None:
    found = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return found if isinstance(found, str) else None


Part = Annotated[
    Annotated[TextPart, Tag("text")] | Annotated[ImagePart, Tag("image_url")],
    Discriminator(_kind, custom_error_type="part", custom_error_message="a part's `type` is `text` or `image_url`"),
]


class Called(BaseModel):
    """The function that a model asks for; `arguments` is JSON as it wrote it."""

    name: ToolName
    arguments: Annotated[str, Field(strict=True)]


class ToolCall(BaseModel):
    """One request of a model to run a tool."""

    id: Annotated[str, Field(strict=True, min_length=1, max_length=512)]
    type: Literal["function"] = "function"
    function: Called


class Turn(BaseModel):
    """One turn of a chat. Only an assistant's turn that calls tools may be without content."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[
        Annotated[str, Field(strict=True)]
        | Annotated[list[Part], Field(min_length=1, max_length=sizes.MOST_PARTS)]
        | None,
        sizes.at_most(sizes.MOST_PARTS, "parts"),
    ] = None
    name: Annotated[str, Field(strict=True, max_length=64)] | None = None
    tool_calls: Annotated[
        Annotated[list[ToolCall], Field(min_length=1, max_length=sizes.MOST_PARTS)] | None,
        sizes.at_most(sizes.MOST_PARTS, "tool calls"),
    ] = None
    tool_call_id: Annotated[str, Field(strict=True, min_length=1, max_length=512)] | None = None

    def blocks(self) -> int:
        """Its parts, or its text, and its tool calls."""
        return (len(self.content) if isinstance(self.content, list) else 1) + len(self.tool_calls or ())

    @model_validator(mode="after")
    def _whole(self) -> "Turn":
        if self.content is None and not self.tool_calls:
            raise ValueError(f"a {self.role} turn needs `content`")
        if self.tool_calls and self.role != "assistant":
            raise ValueError("only an assistant's turn has `tool_calls`")
        if (self.role == "tool") != (self.tool_call_id is not None):
            raise ValueError("a tool's turn, and no other, needs `tool_call_id`: which call it answers")
        if self.role != "user" and isinstance(self.content, list) and any(p.type == "image_url" for p in self.content):
            raise ValueError("only a user's turn may hold images")
        return self


class Function(BaseModel):
    """What a tool is: its name, what it is for, and a JSON Schema of its arguments."""

    model_config = _Strict

    name: ToolName
    description: Annotated[str, Field(strict=True)] = ""
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(BaseModel):
    """A function that the model may ask for."""

    model_config = _Strict

    type: Literal["function"]
    function: Function


class Keep(BaseModel):
    """The prompt up to here is to be kept ready by its provider: up to a `block` of a turn (its parts, or its text, then its tool
    calls, by number), or up to a tool. It changes what calls cost, and no answer.
    """

    model_config = _Strict

    turn: Annotated[int, Field(ge=0, strict=True)] | None = None
    block: Annotated[int, Field(ge=0, strict=True)] = 0
    tool: Annotated[int, Field(ge=0, strict=True)] | None = None
    ttl: Literal["5m", "1h"] | None = None


class Named(BaseModel):
    """A tool by its name."""

    model_config = _Strict

    name: ToolName


class Choose(BaseModel):
    """The model must call this tool."""

    model_config = _Strict

    type: Literal["function"]
    function: Named


_Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Params(BaseModel):
    """Further wishes. A provider that cannot pass one on refuses the call and names it; none is dropped."""

    model_config = _Strict

    top_p: _Share | None = None
    top_k: Annotated[int, Field(ge=1, strict=True)] | None = None
    min_p: _Share | None = None
    frequency_penalty: _Penalty | None = None
    presence_penalty: _Penalty | None = None
    logit_bias: Annotated[
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=sizes.MOST_BIASES)] | None,
        sizes.at_most(sizes.MOST_BIASES, "keys"),
    ] = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    service_tier: Literal["auto", "default", "flex", "priority"] | None = None
    prompt_cache_key: Annotated[str, Field(strict=True, max_length=512)] | None = None
    user: Annotated[str, Field(strict=True, max_length=512)] | None = None

    def told(self) -> dict[str, Any]:
        """Those that were set."""
        return self.model_dump(exclude_none=True)
