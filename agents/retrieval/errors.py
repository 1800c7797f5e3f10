"""Why a document cannot be read, each with what to do about it.

Unreadable                  (an InvalidInput: the request is answered, and costs nothing)
 +- UnknownFormat           neither text, Markdown, HTML nor PDF
 +- Encrypted               asks for a password
 +- Broken                  begins as its format does and is not one
 +- WithoutText             pages, and no text in them
 +- TooLarge                more bytes, pages or characters than are read
 +- TookTooMuch             more time or memory than a document is given
"""

from typing import Any

from agents.base import InvalidInput


class Unreadable(InvalidInput):
    """A document that cannot be read; the message names it."""

    def __init__(self, name: str, what: str, **details: Any) -> None:
        super().__init__(f"the document {name!r} {what}", document=name, **details)


class UnknownFormat(Unreadable):
    """Send it as text, Markdown, HTML or PDF."""


class Encrypted(Unreadable):
    """Remove its password and send it again."""


class Broken(Unreadable):
    """Open it in a viewer, save it anew and send that."""


class WithoutText(Unreadable):
    """It holds pictures of pages; run text recognition (OCR) over it first."""


class TooLarge(Unreadable):
    """Send it in several parts, or raise the limit that the message names."""


class TookTooMuch(Unreadable):
    """Save it anew in a viewer, or raise the limit that the message names."""
