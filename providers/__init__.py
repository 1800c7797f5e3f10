"""The models: `PROVIDERS` is the table of contents.

Adding a provider: its module, its test, its line here, and its column in `tests/providers/test_contract.py`.
"""

import importlib
from collections.abc import Callable, Mapping

from providers.base import Provider
from providers.config import Config


def _from(module: str) -> Callable[[Config], Provider]:
    """Its `make`. The HTTP client takes a quarter of a second to import, and many who ask only want to know the names."""

    def make(config: Config) -> Provider:
        made: Provider = importlib.import_module(f"providers.{module}").make(config)
        return made

    return make


PROVIDERS: Mapping[str, Callable[[Config], Provider]] = {
    "anthropic": _from("anthropic"),
    "bedrock": _from("bedrock"),
    "fake": _from("fake"),
    "local": _from("local"),
    "ollama": _from("ollama"),
    "openai": _from("openai"),
}
"""A provider's name to its factory. Nothing is loaded or connected before the first call."""

__all__ = ["PROVIDERS", "Config", "Provider"]
