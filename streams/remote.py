"""The settings of providers that are somewhere else, as those providers take them."""

from providers import PROVIDERS
from providers.config import NO_OPENAI, OPENAI, Server
from streams.compatible import Compatible
from streams.errors import SpineError
from streams.settings import Settings


def openai(settings: Settings) -> Server:
    """Another address than OpenAI's own may need no key."""
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    is_own = settings.openai_base_url in OPENAI.urls
    return Server(
        name=OPENAI.name,
        urls=(settings.openai_base_url,),
        key=key,
        setting=OPENAI.setting,
        missing=NO_OPENAI if is_own and not key else "",
        slots=settings.openai_slots,
        chat_model=OPENAI.chat_model,
        embed_model=OPENAI.embed_model,
        style="openai",
    )


def compatible(settings: Settings) -> tuple[Server, ...]:
    """Each is a provider. Raises SpineError for a name that one of our own has."""
    clash = sorted(set(settings.compatible) & set(PROVIDERS))
    if clash:
        raise SpineError(f"GENAI_COMPATIBLE: {', '.join(clash)} is already a provider's name; choose another one.")
    return tuple(_server(name, told) for name, told in settings.compatible.items())


def _server(name: str, told: Compatible) -> Server:
    key = told.key()
    missing = f"There is no key for {name}: set {told.api_key_env}, which GENAI_COMPATIBLE names."
    return Server(
        name=name,
        urls=told.urls(),
        key=key or "",
        setting=told.api_key_env or f"the key of {name} in GENAI_COMPATIBLE",
        missing=missing if key is None else "",
        slots=told.slots,
        paid=told.paid,
        chat_model=told.default_model,
        embed_model=told.default_embed_model,
        headers=told.headers,
        style="azure" if told.style == "azure" else "compatible",
        api_version=told.api_version,
        cannot=frozenset(told.cannot),
        context_tokens=told.context_tokens,
    )


def names(settings: Settings) -> tuple[str, ...]:
    """Every provider's, sorted. Raises SpineError as `compatible` does."""
    return tuple(sorted({*PROVIDERS, *(server.name for server in compatible(settings))}))
