"""Why an attempt goes no further, other than by an answer or by its provider's error; `task` says what follows of each.

Exception
├── Lost, Stopped, Expired, OverBudget    the ledger's word, or the clock's
├── Unfit, Parked                         another run of this request goes on with it
└── Beaten                                only of a call that was made beside another one
"""

from schemas.errors import Failure


class Lost(Exception):
    """The row is not ours any more: another worker has taken it over, or it was ended."""


class Unfit(Exception):
    """The slot is at a node that cannot run this request; another one may."""


class Parked(Exception):
    """The call lies in a provider's batch: its answer is another run's."""


class Beaten(Exception):
    """The same call beside this one was answered a moment before."""


class Stopped(Exception):
    """Somebody asked to cancel this request before this call began."""


class Expired(Exception):
    """The deadline passed before the request cost anything."""


class OverBudget(Exception):
    """No budget has room for the next call; it was not made."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
