"""A JSON Schema that a user sent: checked before any call is paid, then used to check the answer.

Nothing is ever fetched for it. Its regular expressions run on a linear engine, where `(a+)+$` is harmless; look-around
is refused by it, which is said at acceptance.
"""

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import orjson

from agents.base import InvalidInput

MAX_BYTES = 64_000
MAX_DEPTH = 32
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check(schema: dict[str, Any] | None, field: str) -> None:
    """`InvalidInput` with the reason when `schema`, sent as `field`, cannot be used; None is fine."""
    if schema is not None:
        _compile(schema, field)


def acceptor(schema: dict[str, Any], field: str) -> Callable[[Any], Any]:
    """A function that returns what fits `schema` and raises ValueError, naming up to three places, for what does not."""
    validator = _compile(schema, field)

    def accept(value: Any) -> Any:
        wrong = []
        for error in validator.iter_errors(value):
            where = "/".join(map(str, error.instance_path)) or "answer"
            wrong.append(f"{where}: {error.message[:200]}")
            if len(wrong) == 3:
                break
        if wrong:
            raise ValueError("; ".join(wrong))
        return value

    return accept


def _compile(schema: dict[str, Any], field: str) -> jsonschema_rs.Validator:
    reason = _too_big(schema) or _foreign(schema)
    if reason:
        raise InvalidInput(f"`{field}` {reason}", field=field)
    try:
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        said = getattr(error, "message", None) or str(error)
        path = "/".join(map(str, getattr(error, "instance_path", [])))
        place = f" at '{path}'" if path else ""
        raise InvalidInput(f"`{field}` is not a JSON Schema{place}: {said[:300]}", field=field) from error


def _too_big(schema: dict[str, Any]) -> str | None:
    level: list[Any] = [schema]
    for _ in range(MAX_DEPTH):
        level = [item for value in level for item in _inside(value)]
        if not level:
            break
    else:
        return f"is nested deeper than {MAX_DEPTH} levels"
    try:
        size = len(orjson.dumps(schema))
    except TypeError as error:
        return f"is not JSON: {error}"
    return f"has {size} bytes; at most {MAX_BYTES}" if size > MAX_BYTES else None


def _foreign(schema: dict[str, Any]) -> str | None:
    """Says which reference leads out of the schema. A property may be called `$ref`: then it is no text."""
    waiting: list[Any] = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name in _REFERENCES:
                target = value.get(name)
                if isinstance(target, str) and not target.startswith("#"):
                    return f"refers to '{target[:200]}'; only references inside it ('#/…') are followed"
        waiting.extend(_inside(value))
    return None


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
