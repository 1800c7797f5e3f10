"""What one process tells the others when it has committed: on PostgreSQL a notification, elsewhere they look by themselves."""

from sqlalchemy import Connection, text

from store.quick import quick

CHANNEL = "genai"
_CANCELS = " cancels"
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
quick(_NOTIFY)


def notify(conn: Connection, worker: str, *, cancels: bool = False) -> None:
    """Rows were accepted or have ended; `cancels`: whoever makes a call may have to abort it."""
    if conn.dialect.name != "sqlite":
        conn.execute(_NOTIFY, {"channel": CHANNEL, "payload": f"{worker}{_CANCELS}" if cancels else worker})


def heard(payload: str) -> tuple[str, bool]:
    """Who said it, and whether there are cancels."""
    return payload.removesuffix(_CANCELS), payload.endswith(_CANCELS)
