"""What is found: chunks of several documents, and how they stand in a prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.retrieval.chunking import OVERLAP, TARGET, chunk
from agents.retrieval.document import Document
from prompts.fence import fence

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Passage:
    """`text` stands at `start:end` in the text of its document, the `number`-th of those that were sent, from 0."""

    document: str
    number: int
    start: int
    end: int
    text: str
    pages: tuple[tuple[int, int], ...] = ()
    """Offset and number of each page that it stands on, where its document has pages."""
    heading: str | None = None
    score: float | None = None
    """The cosine to the question; None until it was looked for."""

    def page(self, offset: int) -> int | None:
        """Of a character of the document that stands in this passage."""
        return max((page for begins, page in self.pages if begins <= offset), default=None)

    @property
    def place(self) -> str:
        """For a reader: document and page."""
        name = " ".join(self.document.split())[:_LONGEST_NAME]
        if not self.pages:
            return name
        first, last = self.pages[0][1], self.pages[-1][1]
        return f"{name}, page {first}" if first == last else f"{name}, pages {first} to {last}"


def passages(documents: Sequence[Document], target: int = TARGET, overlap: int = OVERLAP) -> list[Passage]:
    """Of all documents, in their order."""
    return [
        Passage(document.name, number, each.start, each.end, each.text, each.pages, each.heading)
        for number, document in enumerate(documents)
        for each in chunk(document, target, overlap)
    ]


def sources(found: Iterable[Passage]) -> list[dict[str, Any]]:
    """As the prompt shows them, numbered from 1; each text between its own delimiters."""
    return [{"number": n, "place": each.place, "text": fence(each.text)} for n, each in enumerate(found, 1)]
