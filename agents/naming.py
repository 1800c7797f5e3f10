"""Which of the names asked for a model meant."""

from collections.abc import Iterable


def match(given: str, names: Iterable[str]) -> str | None:
    """The name as it is; else the only one that differs in nothing but case and white space at its edges.

    'apple' and 'Apple' may both have been asked for: then 'APPLE' is neither.
    """
    known = list(names)
    if given in known:
        return given
    alike = [name for name in known if name.strip().casefold() == given.strip().casefold()]
    return alike[0] if len(alike) == 1 else None
