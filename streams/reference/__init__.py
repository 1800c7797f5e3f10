"""The contract for programs: JSON Schemas, AsyncAPI and OpenAPI, made from the models, `OPERATIONS` and the topics.

`python -m streams.reference` writes them to `docs/reference/`. The same code makes the same bytes everywhere: nothing of
the environment, and no version but the contract's own, goes in.
"""

import json
from typing import Any

import yaml

from agents import OPERATIONS
from streams.reference import asyncapi, openapi, words

COMMAND = "python -m streams.reference"


def files() -> dict[str, str]:
    """Each file's text, by its path under `docs/reference/`."""
    schemas = {f"schemas/{name}.json": _json(schema) for name, schema in words.files(OPERATIONS).items()}
    described = yaml.safe_dump(asyncapi.document(OPERATIONS), allow_unicode=True, width=120)
    return {
        "asyncapi.yaml": f"# Made by `{COMMAND}`; change the models instead.\n{described}",
        "openapi.json": _json(openapi.document()),
        **schemas,
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
