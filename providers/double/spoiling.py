"""Answers that break off."""

from providers.double.http1 import Response
from providers.double.wire import Said


def half(said: Said) -> bytes:
    """Its head, and most of its body."""
    whole = said.whole().encode()
    return whole[: len(whole) - max(2, len(whole) // 4)]


def unfinished(said: Said) -> Response:
    """Whole for HTTP, and yet only the first half of what was to be said."""
    half = Said(said.pieces[: len(said.pieces) // 2], said.content_type)
    if len(said.pieces) == 1:
        half = Said((said.pieces[0][: len(said.pieces[0]) // 2],), said.content_type)
    return half.whole()
