"""The words on the wire.

One module per noun; nothing here imports another room. The contract they write down is in `docs/reference/contract.md`.
"""

from schemas.control import Cancel
from schemas.costs import DailyTotals
from schemas.errors import ErrorType, Failure
from schemas.letter import LetterHeaders
from schemas.progress import Progress
from schemas.request import Lane, Options, Request
from schemas.result import Result, Source, Status, Totals
from schemas.usage import Price, UsageEvent

__all__ = [
    "Cancel",
    "DailyTotals",
    "ErrorType",
    "Failure",
    "Lane",
    "LetterHeaders",
    "Options",
    "Price",
    "Progress",
    "Request",
    "Result",
    "Source",
    "Status",
    "Totals",
    "UsageEvent",
]
