"""What a document may take, by the settings."""

from agents.retrieval.reading import Bounds
from streams.settings import Settings


def bounds_of(settings: Settings) -> Bounds:
    """Of each document, before and while it is read."""
    return Bounds(
        bytes=settings.document_max_bytes,
        pages=settings.document_max_pages,
        characters=settings.document_max_characters,
        seconds=settings.document_timeout_s,
        memory_mb=settings.document_memory_mb,
    )
