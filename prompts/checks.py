"""A JSON Schema over a prompt's variables together."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from prompts.errors import BadVariables


def against(slug: str, schema: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """`BadVariables` names what does not fit and where."""
    error = next(_validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)).iter_errors(dict(values)), None)
    if error is not None:
        where = ".".join(map(str, error.instance_path)) or "the variables"
        raise BadVariables(f"the prompt '{slug}': {where}: {error.message[:300]}")


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(orjson.loads(schema), offline=True, pattern_options=jsonschema_rs.RegexOptions())
