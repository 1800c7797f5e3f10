"""Which requests were asked in the words of a prompt, as far as their records are kept."""

from collections.abc import Sequence

from sqlalchemy import Connection, func, or_, select

from schemas.request import REPLAYS
from store.tables import bodies, executions, requests

_E, _R = executions.c, requests.c


def last(
    conn: Connection, tenant: str, prompt_id: str, slug: str, number: int, operations: Sequence[str] = ()
) -> list[int]:
    """The keys of the newest that were called and have ended, in their order: those that named the prompt, and those of the
    `operations` that ask by it themselves. None that a replay has asked.
    """
    named = prompt_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    asked = (
        select(_R.pk)
        .join_from(executions, requests, _R.pk == _E.request_pk)
        .join(bodies, bodies.c.request_pk == _R.pk)
        .where(_E.prompt == slug, _R.tenant == tenant, _R.completed_at.is_not(None))
        .where(or_(_R.operation.in_(operations), _R.pinned.like(f"{named} %", escape="\\")))
        .where(or_(_R.run_id.is_(None), _R.run_id.not_like(f"{REPLAYS}%")))
        .group_by(_R.pk)
        .order_by(func.max(_E.opened_at).desc())
        .limit(number)
    )
    return sorted(conn.execute(asked).scalars())
