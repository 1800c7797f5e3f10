"""Token ids where a text may stand: read back into the text, since whoever answers may have another tokenizer."""

import asyncio
from collections.abc import Mapping
from typing import Any

from providers import vocabulary
from providers.vocabulary import Encoding, NoToken
from streams.web.openai.fields import wrong


def are(given: Any) -> bool:
    """One text as its tokens, or several."""
    return isinstance(given, list) and bool(given) and (_is_text(given) or all(map(_is_text, given)))


def read(given: list[Any], encoding: Encoding, field: str) -> list[str]:
    """The texts. Raises `Problem` 400 for a number that is no token."""
    texts = [given] if _is_text(given) else given
    try:
        return [vocabulary.text_of(each, encoding) for each in texts]
    except NoToken as error:
        raise wrong(field, f"`{field}` holds tokens, and {error}; send texts.") from None


async def ready(body: Mapping[str, Any], field: str, encoding: Encoding | None) -> None:
    """A vocabulary is read beside everybody else's requests; later it is there."""
    if encoding is not None and are(body.get(field)):
        await asyncio.to_thread(vocabulary.pieces, encoding)


def _is_text(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(each) is int for each in given)
