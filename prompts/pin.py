"""Which wording a request was accepted with, as text: what the ledger keeps of it until the request is run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """A version by its number, and by a digest: a number alone would not say that a file was edited in place.

    `id`: of the prompt; rows of older programs have its slug. `label`: by which it was found, empty for none.
    """

    id: str
    version: int
    digest: str
    label: str = ""

    @property
    def name(self) -> str:
        """As people call a prompt that comes with the program; another one's id."""
        return self.id.removeprefix("library/")

    def __str__(self) -> str:
        return f"{self.id} {self.version} {self.digest} {self.label}".rstrip()

    @classmethod
    def read(cls, text: str) -> "Pin":
        """What `str` wrote."""
        id_, version, digest, *label = text.split()
        return cls(id_, int(version), digest, *label)
