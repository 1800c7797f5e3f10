"""Whether what was published has the form that the contract promises, whatever its model wrote."""

from collections.abc import Callable
from functools import cache
from typing import Any

import orjson

from agents import OPERATIONS, user_schema
from prompts import Library
from streams.quality.asks import PROMPT


def fits(operation: str, output: dict[str, Any]) -> bool:
    """The operation's own output and, for a prompt that has a schema, what was parsed by it."""
    try:
        OPERATIONS[operation].output.model_validate_json(orjson.dumps(output), strict=True)
        if operation == "execute_prompt":
            _prompted()(output["parsed"])
    except ValueError:
        return False
    return True


@cache
def _prompted() -> Callable[[Any], Any]:
    schema = Library.load().version(PROMPT).output_schema
    assert schema is not None
    return user_schema.acceptor(schema, "output_schema")
