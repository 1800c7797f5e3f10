"""Which wording a request was accepted with, as text: what the ledger keeps of it until the request is run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """A version by its number, and by a digest: a number alone would not say that a file was edited in place."""

    slug: str
    version: int
    digest: str

    def __str__(self) -> str:
        return f"{self.slug} {self.version} {self.digest}"

    @classmethod
    def read(cls, text: str) -> "Pin":
        """What `str` wrote."""
        slug, version, digest = text.split()
        return cls(slug, int(version), digest)
