"""What a call asks for against what a model can do: asked before the call, not learnt from its refusal."""

from providers.base import Able
from providers.calls import ChatCall, EmbedCall, Forced, Image
from providers.errors import Unsupported


def wants(call: ChatCall | EmbedCall) -> list[str]:
    """What a call asks for beyond words, in OpenAI's names; `params` by theirs."""
    if isinstance(call, EmbedCall):
        return ["dimensions"] if call.dimensions is not None else []
    asked = {
        "response_format": call.schema is not None,
        "response_format.json_object": call.schema is None and call.json_mode,
        "tools": bool(call.tools) or any(message.tool_calls or message.tool_call_id for message in call.messages),
        "image_url": any(not isinstance(part, str) for message in call.messages for part in message.parts),
        "logprobs": call.logprobs is not None,
        "temperature": call.temperature not in (None, 1.0),
        "stop": bool(call.stop),
        "seed": call.seed is not None,
        "tool_choice": call.tool_choice == "required" or isinstance(call.tool_choice, Forced),
        "parallel_tool_calls": call.parallel_tool_calls is False and bool(call.tools),
    }
    return [name for name, is_asked in asked.items() if is_asked] + sorted(call.params)


def lacks(asked: list[str], able: Able) -> list[str]:
    """Those of `wants` that a model surely cannot do."""
    known = {
        "response_format": able.schema,
        "response_format.json_object": able.schema if able.json_mode is None else able.json_mode,
        "tools": able.tools,
        "image_url": able.images,
        "logprobs": able.logprobs,
        "temperature": able.temperature,
        "stop": able.stop,
        "seed": able.seed,
        "tool_choice": able.forced_tools,
        "parallel_tool_calls": able.one_tool,
    }
    return [name for name in asked if (known[name] is False if name in known else name not in able.params)]


def check(call: ChatCall | EmbedCall, able: Able) -> None:
    """Raises `Unsupported` that names what the model cannot do, and `Rejected` for a picture that is none or a bomb; nothing is
    dropped silently.
    """
    missing = lacks(wants(call), able)
    if missing:
        raise unsupported(call.model, missing)
    if isinstance(call, ChatCall):
        for image in (part for message in call.messages for part in message.parts if isinstance(part, Image)):
            from providers import images  # with the HTTP client, which who only looks at models does not need

            images.inline(image.url)


def unsupported(model: str, missing: list[str]) -> Unsupported:
    """The refusal that names `missing`."""
    named = ", ".join(f"`{name}`" for name in missing)
    return Unsupported(f"`{model}` cannot do {named}. Leave it out, or name another model.", {"fields": missing})
