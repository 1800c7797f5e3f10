"""What an operation comes back with: its output, typed, and all that the server says about it."""

import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from genai_spine_client import errors
from genai_spine_client.schemas.answers import Standing
from genai_spine_client.schemas.result import Result

O = TypeVar("O", bound=BaseModel)  # noqa: E741 - an output
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer(Generic[O]):
    """`output` is what was asked for; `result` has usage, cost, warnings, attempts and times."""

    output: O
    result: Result

    @property
    def id(self) -> str:
        """The request's."""
        return self.result.id

    @property
    def cost_usd(self) -> str | None:
        """Exact; None: nothing priced it."""
        return self.result.usage.cost_usd

    @property
    def warnings(self) -> list[str]:
        """What a person should know about it."""
        return self.result.warnings


def answer(result: Result, output: type[O]) -> Answer[O]:
    """Raises `NoAnswer`, `Unreadable`."""
    ended = errors.of_result(result)
    if ended is not None:
        raise ended
    return Answer(_model(result.output, output), result)


def result_or_standing(reply: httpx.Response) -> Result | Standing:
    """Of a request: how it ended, or how it stands. Raises `Unreadable`."""
    body = _json(reply)
    unfinished = isinstance(body, dict) and body.get("status") == "unfinished"
    return _model(body, Standing) if unfinished else _model(body, Result)


@dataclass(frozen=True, slots=True)
class Reader(Generic[M]):
    """Reads an answer's body as a model. Raises `Unreadable`."""

    model: type[M]

    def __call__(self, reply: httpx.Response) -> M:
        return _model(_json(reply), self.model)


def line(text: str, model: type[M]) -> M:
    """One line of JSON Lines, or one event's data. Raises `Unreadable`."""
    try:
        return model.model_validate(errors.known(json.loads(text)))
    except ValueError as error:
        raise errors.Unreadable(f"A line is no {model.__name__}: {error}") from error


def _json(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError as error:
        raise errors.Unreadable(f"{reply.url} answered what is no JSON; is it a GenAI Spine?") from error


def _model(body: Any, model: type[M]) -> M:
    try:
        return model.model_validate(errors.known(body))
    except ValidationError as error:
        raise errors.Unreadable(f"The answer is no {model.__name__}; is the server newer? {error}") from error
