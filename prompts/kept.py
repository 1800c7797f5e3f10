"""Wordings in a process's memory: those used last, up to so many bytes, and whatever somebody works with at the moment."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from prompts.errors import ChangedPrompt, UnreadPrompt
from prompts.wording import Wording

Key = tuple[str, int]
"""A prompt's id and a version's number."""


@dataclass(frozen=True, slots=True)
class Read:
    """A version that was read. `made`: its wording, or why it is none; `size`: as the database has it, in bytes."""

    made: Wording | str
    size: int


class Kept:
    """What a registry has read. Nobody looks into the database here: what is missing is noted for whoever can."""

    def __init__(self, most: int | None = None) -> None:
        """`most`: bytes of all that is kept; None: everything is."""
        self.most, self.size = most, 0
        self._missed: dict[Key, None] = {}
        self._kept: OrderedDict[Key, Read] = OrderedDict()
        self._used: WeakValueDictionary[Key, Wording] = WeakValueDictionary()

    def __contains__(self, key: Key) -> bool:
        return key in self._kept or key in self._used

    def find(self, key: Key, slug: str) -> Wording:
        """Raises `UnreadPrompt` for one that is not here, and `ChangedPrompt` for one that is no prompt."""
        read = self._kept.get(key)
        if read is not None:
            self._kept.move_to_end(key)
            if isinstance(read.made, str):
                raise ChangedPrompt(f"version {key[1]} of the prompt '{slug}' cannot be read: {read.made}")
            return read.made
        used = self._used.get(key)
        if used is None:
            self._missed[key] = None
            raise UnreadPrompt(f"version {key[1]} of the prompt '{slug}' is not in memory here; ask again")
        return used

    def missed(self) -> list[Key]:
        """What was looked for in vain since this was asked last."""
        found = list(self._missed)
        self._missed.clear()
        return found

    def held(self, keys: Iterable[Key]) -> list[object]:
        """Those of them that are here. Whoever has the list keeps them here."""
        return [self._used[key] for key in keys if key in self._used]

    def put(self, found: Mapping[Key, Read]) -> None:
        """All of these are kept now, and of the others as many as there is room for."""
        for key, read in found.items():
            old = self._kept.pop(key, None)
            self._kept[key] = read
            self.size += read.size - (0 if old is None else old.size)
            if not isinstance(read.made, str):
                self._used[key] = read.made
        while self.most is not None and self.size > self.most and len(self._kept) > len(found):
            self.size -= self._kept.popitem(last=False)[1].size
