# Made by `python -m scripts.client` from schemas/money.py; change it there.
"""Money as whole nano-dollars.

One embedding token costs about 0.02 micro-dollars, so micro-dollars would round whole calls away; a float or SQLite's
NUMERIC would not add up. Whole nano-dollars add up exactly, in any order, in both databases and in a Faust table.
"""

from decimal import ROUND_HALF_EVEN, Decimal

_NANO = Decimal(10) ** 9


def to_nano(dollars: Decimal) -> int:
    """Dollars, rounded half to even to whole nano-dollars."""
    return int((dollars * _NANO).to_integral_value(ROUND_HALF_EVEN))


def to_usd(nano: int | None) -> str | None:
    """A decimal string with six digits after the point, nine where the last three are not zero; None stays None."""
    if nano is None:
        return None
    sign, digits = ("-", -nano) if nano < 0 else ("", nano)
    whole, rest = divmod(digits, 10**9)
    text = f"{rest:09d}"
    return f"{sign}{whole}.{text[:6] if text.endswith('000') else text}"


def from_usd(text: str | None) -> int | None:
    """What `to_usd` wrote, read back."""
    return None if text is None else to_nano(Decimal(text))
