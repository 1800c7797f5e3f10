"""How fast, and how dear, a model may be asked: the words for it, and what a result says of it."""

from typing import Literal

from pydantic import BaseModel

Tier = Literal["auto", "standard", "flex", "batch"]
"""`standard`: now, at the usual price. `flex`: cheaper, when the provider has room. `batch`: half the price, within a day.
`auto`: the cheapest that surely leaves time until the deadline.
"""

Taken = Literal["standard", "flex", "batch"]


class Tiered(BaseModel):
    """On a result whose request could have waited: which tier answered it, why, and by how much that was cheaper."""

    name: Taken
    why: str
    saved_usd: str | None = None
    """Null: nothing prices the tier, or nothing was saved."""
