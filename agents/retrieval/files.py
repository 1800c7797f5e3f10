"""Documents that were uploaded before: a port, as this room knows no database."""

import re
from typing import Protocol

from agents.base import InvalidInput
from agents.retrieval.reading import Given

_NAMED = re.compile(
    r"(?:file-[A-Za-z0-9_-]+|[^\n]{1,250}\.(?:pdf|txt|text|log|csv|md|markdown|html?|xhtml))", re.IGNORECASE
)


class Files(Protocol):
    """Where they are kept."""

    async def named(self, tenant: str, name: str, most_bytes: int) -> Given | None:
        """By its id, or the newest of that name; None: that tenant has none. One of more bytes may be given cut behind them."""


def is_name(text: str) -> bool:
    """Whether a document that is a string means a file by its name, and is no text."""
    return _NAMED.fullmatch(text.strip()) is not None


async def uploaded(files: Files | None, tenant: str, name: str, most_bytes: int) -> Given:
    """Raises `InvalidInput`."""
    found = None if files is None else await files.named(tenant, name.strip(), most_bytes)
    if found is None:
        raise InvalidInput(
            f"there is no uploaded file {name.strip()!r}; upload it to /v1/files with purpose=user_data, "
            "or send it as {name, base64} or as {name, content}",
            document=name.strip(),
        )
    return found
