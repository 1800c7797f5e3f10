"""A version that is tried on what was asked before its label moves: which requests these are."""

from typing import Any

from sqlalchemy import Connection, Row

from agents import OPERATIONS
from store.ledger import recorded_prompts
from streams.prompting import fitting, looking


def chosen(conn: Connection, prompt: Row[Any], *, tenant: str, candidate: int, number: int) -> tuple[str, list[int]]:
    """The prompt's slug, and the keys of the last of its requests. Raises `Missing` where there is no such version, and `BadPrompt`
    where its operations cannot ask by it.
    """
    looking.one_version(conn, prompt, candidate)
    fitting.check_version(conn, prompt, candidate)
    users = [name for name, op in OPERATIONS.items() if prompt.is_system and prompt.slug in op.wordings]
    asking = [name for name in users if OPERATIONS[name].pin is None]
    return prompt.slug, recorded_prompts.last(conn, tenant, prompt.id, prompt.slug, number, asking)
