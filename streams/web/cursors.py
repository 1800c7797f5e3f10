"""Where a page ended, as a word that a client hands back; it fits the list that it came from, and no other."""

import base64
import binascii
import hashlib
import math
import struct

from store.ledger.pages import Place

_SHAPE = struct.Struct(">8sdq")
_HEAD = struct.Struct(">8sd")
_NONE = "cursor={given!r} is no cursor; hand back what `next` said, or leave it out."


class Foreign(ValueError):
    """The cursor is none, or it belongs to another list or to other filters."""


def cursor(list_: str, place: Place) -> str:
    """`list_` names the list together with its filters."""
    packed = _SHAPE.pack(_mark(list_), place.accepted_at, place.pk)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def cursor_named(list_: str, at: float, name: str) -> str:
    """The same for a list whose rows are told apart by a name."""
    packed = _HEAD.pack(_mark(list_), at) + name.encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def named(list_: str, given: str) -> tuple[float, str]:
    """What `cursor_named` made. Raises `Foreign` with a sentence."""
    try:
        packed = base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True)
        mark, at = _HEAD.unpack(packed[: _HEAD.size])
        name = packed[_HEAD.size :].decode()
    except (ValueError, binascii.Error, struct.error):
        raise Foreign(_NONE.format(given=given[:100])) from None
    _check(list_, mark, at)
    return at, name


def place(list_: str, given: str) -> Place:
    """Raises `Foreign` with a sentence."""
    try:
        mark, accepted_at, pk = _SHAPE.unpack(base64.b64decode(given + "=" * (-len(given) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, struct.error):
        raise Foreign(_NONE.format(given=given[:100])) from None
    _check(list_, mark, accepted_at)
    return Place(accepted_at, pk)


def _check(list_: str, mark: bytes, at: float) -> None:
    if mark != _mark(list_) or not math.isfinite(at):
        raise Foreign(
            "This cursor belongs to another list or to other filters; ask with the same ones, or leave it out."
        )


def _mark(list_: str) -> bytes:
    return hashlib.blake2b(list_.encode(), digest_size=8).digest()
