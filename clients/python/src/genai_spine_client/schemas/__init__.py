# Made by `python -m scripts.client` from schemas/__init__.py; change it there.
"""The words on the wire.

One module per noun; nothing here imports another room. The contract they write down is in `docs/reference/contract.md`.
"""

from genai_spine_client.schemas.control import Cancel
from genai_spine_client.schemas.costs import DailyTotals
from genai_spine_client.schemas.errors import ErrorType, Failure
from genai_spine_client.schemas.letter import LetterHeaders
from genai_spine_client.schemas.progress import Progress
from genai_spine_client.schemas.request import Lane, Options, Request
from genai_spine_client.schemas.result import Result, Source, Status, Totals
from genai_spine_client.schemas.usage import Price, UsageEvent

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
