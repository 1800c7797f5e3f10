# Made by `python -m scripts.client` from schemas/sizes.py; change it there.
"""How many of something a request may hold: counted before any of them is looked at, since each takes its time in the event loop."""

from typing import Any

from pydantic import BeforeValidator

MOST_TURNS = 1000
MOST_PARTS = 2048
"""Of one turn; tool calls as well."""
MOST_PARTS_TOGETHER = 8192
MOST_TOOLS = 128
MOST_BIASES = 4096
MOST_KEPT = 64
MOST_METADATA = 1024


def excess(value: Any, most: int, what: str) -> str | None:
    """What is wrong with a list or an object that is too long; None: nothing is."""
    if not isinstance(value, list | dict) or len(value) <= most:
        return None
    return f"has {len(value)} {what}; at most {most} are taken"


LISTS = ("content", "tool_calls", "output")
"""Where a turn has its parts, in our words or in those of another door."""


def together(turns: Any) -> str | None:
    """The same of the parts and tool calls of all turns, and of the parts that stand in parts."""
    parts = [part for turn in _objects(turns) for name in LISTS for part in _listed(turn.get(name))]
    count = len(parts) + sum(len(_listed(part.get("content"))) for part in _objects(parts))
    if count <= MOST_PARTS_TOGETHER:
        return None
    return f"has {count} parts and tool calls in all; at most {MOST_PARTS_TOGETHER} are taken"


def _objects(values: Any) -> list[dict[str, Any]]:
    return [each for each in _listed(values) if isinstance(each, dict)]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def at_most(most: int, what: str) -> BeforeValidator:
    """For a field."""

    def check(value: Any) -> Any:
        if words := excess(value, most, what):
            raise ValueError(words)
        return value

    return BeforeValidator(check)


def _chat(turns: Any) -> Any:
    if words := excess(turns, MOST_TURNS, "turns") or together(turns):
        raise ValueError(words)
    return turns


CHAT = BeforeValidator(_chat)
"""For the turns of a chat."""
