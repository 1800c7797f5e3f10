"""What a job is: work of the program itself, which is submitted, seen, retried and cancelled as a run, and calls no model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from providers.prices import PriceTable
from store.database import Database
from streams.jobs.metering import Meters
from streams.settings import Settings

P = TypeVar("P", bound=BaseModel)


class Failed(Exception):
    """It could not be done; the message says why. `again`: another try may help."""

    def __init__(self, words: str, *, again: bool = False) -> None:
        super().__init__(words)
        self.again = again


@dataclass(frozen=True, slots=True)
class Context:
    """What a job works with."""

    settings: Settings
    database: Database
    prices: PriceTable
    meters: Meters
    run_id: str


Work = Callable[[Context, Any], Awaitable[dict[str, Any]]]
"""Returns the run's result. May be cut off anywhere and begun anew: what it does twice must be done once. Raises `Failed`."""


@dataclass(frozen=True, slots=True)
class Job:
    """One of them. `params` is what a run of it may say; its docstring is what the job does."""

    params: type[BaseModel]
    work: Work
