"""How the database goes about what a piece of code asks of it."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, event


def plans(
    conn: Connection, work: Callable[[], object], heard: Callable[[str], bool] = lambda _: True
) -> dict[str, str]:
    """Each statement of `work` that `heard` picks, with its parameters, and its plan."""
    asked: list[tuple[str, Any]] = []

    def hear(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if heard(statement):
            asked.append((statement, parameters))

    event.listen(conn, "before_cursor_execute", hear)
    work()
    event.remove(conn, "before_cursor_execute", hear)
    explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
    return {
        f"{statement} {parameters}": "\n".join(
            str(row[-1]) for row in conn.exec_driver_sql(explain + statement, parameters)
        )
        for statement, parameters in asked
    }
