"""What a server says that it counted, believed only where it can be a count: costs and counters are made of it."""

_TOKENS = 1 << 31
"""What a column of the ledger holds."""


def count(told: object, below: int = _TOKENS) -> int | None:
    """None: not told, or a text, a fraction, a truth value, below 0, or not below `below`."""
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < below else None


def total(*told: object) -> int | None:
    """The sum, what was not told left out; None: one of them is no count, or all together are none."""
    parts = [count(each) for each in told if each is not None]
    known = [each for each in parts if each is not None]
    return count(sum(known)) if len(known) == len(parts) else None
