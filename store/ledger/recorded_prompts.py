"""Which requests a prompt was asked in, as far as their records are kept."""

from sqlalchemy import Connection, select

from store.tables import bodies, requests

_R = requests.c


def last(conn: Connection, tenant: str, prompt_id: str, number: int) -> list[str]:
    """The ids of the newest that have ended, newest first."""
    pinned = prompt_id.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    asked = (
        select(_R.id)
        .join(bodies, bodies.c.request_pk == _R.pk)
        .where(
            _R.tenant == tenant,
            _R.operation == "execute_prompt",
            _R.completed_at.is_not(None),
            _R.pinned.like(f"{pinned} %", escape="\\"),
        )
        .order_by(_R.accepted_at.desc(), _R.pk.desc())
        .limit(number)
    )
    return list(conn.execute(asked).scalars())
