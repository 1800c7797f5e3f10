"""Token ids of OpenAI's tokenizers, read back into the text that they were made of.

The vocabularies are those that `bpe-openai` ships. Its library takes 70 MB before it has read one; to read tokens back needs
only the list of their bytes (5 MB for cl100k_base), so that file alone is read, once, when the first token comes.
"""

import base64
import gzip
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distribution
from typing import Literal

Encoding = Literal["cl100k_base", "o200k_base"]
_O200K = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "chatgpt-4o", "o1", "o3", "o4", "gpt-oss")
_CL100K = ("gpt-4", "gpt-3.5", "text-embedding-", "davinci-002", "babbage-002")


class NoToken(ValueError):
    """A number that stands for no text in this vocabulary."""


def encoding_of(model: str) -> Encoding | None:
    """By the model's name, with or without its provider before it; None: it is none of OpenAI's."""
    name = model.rpartition("/")[2]
    if name.startswith(_O200K):
        return "o200k_base"
    return "cl100k_base" if name.startswith(_CL100K) else None


def text_of(ids: Sequence[int], encoding: Encoding) -> str:
    """What they were made of; a character that is cut in two at an end becomes U+FFFD. Raises `NoToken`."""
    known = pieces(encoding)
    found: list[bytes] = []
    for each in ids:
        piece = known[each] if 0 <= each < len(known) else None
        if piece is None:
            raise NoToken(f"{each} is no token of {encoding}")
        found.append(piece)
    return b"".join(found).decode(errors="replace")


@cache
def pieces(encoding: Encoding) -> tuple[bytes | None, ...]:
    """The bytes of each token, by its number. Takes 0.1 s."""
    file = distribution("bpe-openai").locate_file(f"bpe_openai/data/{encoding}.tiktoken.gz")
    with gzip.open(str(file), "rt", encoding="ascii") as lines:
        ranks = [line.split() for line in lines if not line.isspace()]
    found: list[bytes | None] = [None] * (1 + max(int(rank) for _, rank in ranks))
    for packed, rank in ranks:
        found[int(rank)] = base64.b64decode(packed)
    return tuple(found)
