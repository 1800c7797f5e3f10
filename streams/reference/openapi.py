"""OpenAPI 3.1 of the HTTP door, as `/openapi.json` serves it, under the contract's own version."""

from typing import Any

from streams.reference.asyncapi import VERSION
from streams.settings import Settings
from streams.web.app import make_api
from streams.web.front import Front


def document() -> dict[str, Any]:
    """With the defaults of the settings; nothing is opened."""
    described = make_api(Front(Settings.model_construct(), "web")).openapi()
    return described | {"info": described["info"] | {"version": VERSION}}
