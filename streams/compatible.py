"""GENAI_COMPATIBLE: servers that speak OpenAI's format, by name; each name becomes a provider of its own."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_URL = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CANNOT = (
    "chat", "embeddings", "tools", "image_url", "response_format", "logprobs", "temperature", "stop", "seed",
    "stream_options", "dimensions", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty", "logit_bias",
    "reasoning_effort", "verbosity", "service_tier", "prompt_cache_key", "user",
)  # fmt: skip


class Compatible(BaseModel):
    """One name. `api_key_env`: the environment variable (or a line of `.env`) that holds its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | Annotated[list[str], Field(min_length=1)]
    api_key: SecretStr | None = None
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    slots: Annotated[int, Field(ge=1)] = 8
    paid: bool = True
    default_model: str = ""
    default_embed_model: str = ""
    headers: dict[str, str] = {}
    style: Literal["openai", "azure"] = "openai"
    api_version: str = ""
    cannot: list[str] = []
    context_tokens: Annotated[int, Field(ge=1)] | None = None

    @field_validator("base_url")
    @classmethod
    def _are_urls(cls, told: str | list[str]) -> str | list[str]:
        for url in [told] if isinstance(told, str) else told:
            checked_url(url)
        return told

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, told: dict[str, str]) -> dict[str, str]:
        for name, value in told.items():
            if not _HEADER.fullmatch(name) or not value.isascii() or not value.isprintable():
                raise ValueError(f"{name!r} is no header, or its value holds what a header may not")
        return told

    @field_validator("cannot")
    @classmethod
    def _are_known(cls, told: list[str]) -> list[str]:
        unknown = sorted(set(told) - set(_CANNOT))
        if unknown:
            raise ValueError(f"`cannot` does not know {', '.join(unknown)}; it knows {', '.join(_CANNOT)}")
        return told

    @model_validator(mode="after")
    def _fits_together(self) -> "Compatible":
        if self.api_key is not None and self.api_key_env is not None:
            raise ValueError("give either `api_key` or `api_key_env`")
        if (self.style == "azure") != bool(self.api_version):
            raise ValueError("`api_version`, such as 2024-10-21, is for `style` azure, and needed there")
        return self

    def urls(self) -> tuple[str, ...]:
        """Its nodes, without a trailing slash."""
        return tuple(url.rstrip("/") for url in ([self.base_url] if isinstance(self.base_url, str) else self.base_url))

    def key(self) -> str | None:
        """Its key; empty: it needs none; None: the variable that should hold it is not set."""
        if self.api_key_env is not None:
            return os.environ.get(self.api_key_env) or _dotenv().get(self.api_key_env) or None
        return "" if self.api_key is None else self.api_key.get_secret_value()


def _dotenv() -> Mapping[str, str | None]:
    return dotenv_values(".env") if Path(".env").is_file() else {}


def _once(value: Any) -> Any:
    """JSON by itself would let the last of two equal names win without a word."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return {}
    try:
        return json.loads(value, object_pairs_hook=_pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON ({error})") from None


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice")
    return dict(pairs)


def named(told: dict[str, Compatible]) -> dict[str, Compatible]:
    """Raises ValueError for what is no provider's name."""
    for name in told:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a provider; write small letters, digits, - and _, such as vllm")
    return told


def checked_url(told: str) -> str:
    """Without a trailing slash. Raises ValueError."""
    if not _URL.fullmatch(told):
        raise ValueError(f"{told!r} is no base URL; write it with its path, such as https://api.openai.com/v1")
    return told.rstrip("/")


Servers = Annotated[dict[str, Compatible], NoDecode, BeforeValidator(_once), AfterValidator(named)]
BaseUrl = Annotated[str, AfterValidator(checked_url)]
