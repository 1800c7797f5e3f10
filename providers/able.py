"""What a call asks for against what a model can do: asked before the call, not learnt from its refusal."""

from providers import images
from providers.base import Able, ChatCall, EmbedCall, Image, Unsupported


def wants(call: ChatCall | EmbedCall) -> list[str]:
    """What a call asks for beyond words, in OpenAI's names; `params` by theirs."""
    if isinstance(call, EmbedCall):
        return ["dimensions"] if call.dimensions is not None else []
    asked = {
        "response_format": call.schema is not None or call.json_mode,
        "tools": bool(call.tools) or any(message.tool_calls or message.tool_call_id for message in call.messages),
        "image_url": any(not isinstance(part, str) for message in call.messages for part in message.parts),
        "logprobs": call.logprobs is not None,
    }
    return [name for name, is_asked in asked.items() if is_asked] + sorted(call.params)


def lacks(asked: list[str], able: Able) -> list[str]:
    """Those of `wants` that a model surely cannot do."""
    known = {
        "response_format": able.schema,
        "tools": able.tools,
        "image_url": able.images,
        "logprobs": able.logprobs,
    }
    return [name for name in asked if (known[name] is False if name in known else name not in able.params)]


def check(call: ChatCall | EmbedCall, able: Able) -> None:
    """Raises `Unsupported` that names what the model cannot do, and `Rejected` for a picture that is none or a bomb; nothing is
    dropped silently.
    """
    missing = lacks(wants(call), able)
    if missing:
        named = ", ".join(f"`{name}`" for name in missing)
        raise Unsupported(
            f"`{call.model}` cannot do {named}. Leave it out, or name another model.", {"fields": missing}
        )
    if isinstance(call, ChatCall):
        for image in (part for message in call.messages for part in message.parts if isinstance(part, Image)):
            images.inline(image.url)
