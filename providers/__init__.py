"""The models: `PROVIDERS` is the table of contents.

Adding a provider: its module, its test, its line here, and its column in `tests/providers/test_contract.py`.
"""

from collections.abc import Callable, Mapping

from providers import anthropic, bedrock, fake, local, ollama, openai
from providers.base import Provider
from providers.config import Config

PROVIDERS: Mapping[str, Callable[[Config], Provider]] = {
    "anthropic": anthropic.make,
    "bedrock": bedrock.make,
    "fake": fake.make,
    "local": local.make,
    "ollama": ollama.make,
    "openai": openai.make,
}
"""A provider's name to its factory. Nothing is loaded or connected before the first call."""

__all__ = ["PROVIDERS", "Config", "Provider"]
