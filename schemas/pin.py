"""Which wordings a request was accepted with: the text that the ledger keeps of them, and what a result says."""

from dataclasses import dataclass

from pydantic import BaseModel

_SHARE = "@"


@dataclass(frozen=True, slots=True)
class Pin:
    """A version by its number, and by a digest: a number alone would not say that a file was edited in place.

    `id`: of the prompt; rows of older programs have its slug. `label`: by which it was found, empty for none. `weight`, `of`: of a
    label that stood for several versions, how much of it is this one's; 0 where it stood for one.
    """

    id: str
    version: int
    digest: str
    label: str = ""
    weight: int = 0
    of: int = 0

    @property
    def name(self) -> str:
        """As people call a prompt that comes with the program; another one's id."""
        return self.id.removeprefix("library/")

    def __str__(self) -> str:
        share = f"{_SHARE}{self.weight}/{self.of}" if self.of else ""
        return f"{self.id} {self.version} {self.digest} {self.label}{share}".rstrip()

    @classmethod
    def read(cls, text: str) -> "Pin":
        """What `str` wrote. The share is a part of the label's word: programs that know no shares take it for the label."""
        id_, version, digest, *more = text.split()
        label, _, share = (more[0] if more else "").partition(_SHARE)
        weight, _, of = share.partition("/")
        return cls(id_, int(version), digest, label, int(weight or 0), int(of or 0))


def pins(pinned: str | None) -> list[Pin]:
    """All that a request was accepted with: one in a line."""
    return [Pin.read(line) for line in (pinned or "").splitlines()]


class Prompted(BaseModel):
    """On a result: a wording out of the registry that its request was accepted with.

    `arm`: `label/version`, where the label stood for several versions by weight, and `share` how much of its requests get this
    one. It is no route's arm: that one says which model was asked, this one in which words.
    """

    id: str
    version: int
    label: str | None = None
    arm: str | None = None
    share: float | None = None


def prompted(pinned: str | None) -> list[Prompted]:
    """For a result."""
    return [
        Prompted(
            id=pin.id,
            version=pin.version,
            label=pin.label or None,
            arm=f"{pin.label}/{pin.version}" if pin.of else None,
            share=round(pin.weight / pin.of, 6) if pin.of else None,
        )
        for pin in pins(pinned)
    ]
