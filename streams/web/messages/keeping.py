"""`cache_control` of Anthropic's blocks: marked on what becomes of each block, then lifted out of the chat, as the input's `keep`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from streams.web.openai.fields import only, wrong

CACHE = "cache_control"
_TTLS = ("5m", "1h")


def ttl(block: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """How long, where it says so; None: the block is not marked. Raises `Problem` 400."""
    if block.get(CACHE) is None:
        return None
    path = f"{where}.{CACHE}" if where else CACHE
    told = only(block[CACHE], {"type", "ttl"}, path)
    if told.get("type", "ephemeral") != "ephemeral":
        raise wrong(f"{path}.type", f"`{path}.type` can only be ephemeral.")
    if "ttl" in told and told["ttl"] not in _TTLS:
        raise wrong(f"{path}.ttl", f"`{path}.ttl` is one of {', '.join(_TTLS)}.")
    return {"ttl": told["ttl"]} if "ttl" in told else {}


def mark(block: Mapping[str, Any], where: str) -> dict[str, Any]:
    """To be put on what becomes of the block."""
    found = ttl(block, where)
    return {} if found is None else {CACHE: found}


def inner(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mark of parts that become one text: it stands behind them all."""
    marks = [part[CACHE] for part in parts if CACHE in part]
    return {CACHE: marks[-1]} if marks else {}


def last(turn: Mapping[str, Any]) -> int:
    """The number of its last block."""
    content = turn["content"]
    return (len(content) if isinstance(content, list) else 1) + len(turn.get("tool_calls", ())) - 1


def lifted(turns: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All marks by their places, taken off what they stood on. A single text is a text again, whether it was marked or not."""
    found = [{"tool": i} | tool.pop(CACHE) for i, tool in enumerate(tools) if CACHE in tool]
    for i, turn in enumerate(turns):
        parts = turn["content"] if isinstance(turn["content"], list) else [turn]
        blocks = [*parts, *turn.get("tool_calls", ())]
        found += [{"turn": i, "block": j} | block.pop(CACHE) for j, block in enumerate(blocks) if CACHE in block]
        if parts[0] is not turn and len(parts) == 1 and parts[0]["type"] == "text":
            turn["content"] = parts[0]["text"]
    return found
