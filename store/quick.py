"""Statements that are run all the time, past SQLAlchemy's execution: the same text, made once, and its values by position.

SQLAlchemy stays the source of every text, of what its types do to values, and of its errors. What is left out is its work
for each execution (30 to 60 µs, of which the database itself has a few): finding the text again and making a result.
Only statements that are built once, at a module's level, may be marked: a mark is for their very object.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NoReturn, cast

from sqlalchemy import Connection, Dialect, Executable, Table
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler

Shape = tuple[Any, ...]
_FORMS: dict[int, tuple[Any, dict[Shape, "_Form"]]] = {}
"""By the statement's id, which stays its own as long as it is kept here."""


def quick(*statements: Executable) -> None:
    """Mark them."""
    for statement in statements:
        _FORMS[id(statement)] = (statement, {})


_MORE = re.compile(r"\b(ON CONFLICT|RETURNING)\b")
FEW = 4
"""Rows that are inserted by a text of their own."""
_CONTENDED = " DO UPDATE "
"""A counter that all writers share: the statements that go together have no order among them."""


class Rows(list[Any]):
    """What a marked statement found, all of it, with as much of SQLAlchemy's result as the ledger uses."""

    rowcount = -1
    names: tuple[Any, ...] = ()

    def all(self) -> "Rows":
        return self

    def first(self) -> Any:
        return self[0] if self else None

    def one(self) -> Any:
        if len(self) != 1:
            raise InvalidRequestError(f"one row was expected, there are {len(self)}")
        return self[0]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalars(self) -> Iterator[Any]:
        return (row[0] for row in self)

    def mappings(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.names, row, strict=True)) for row in self)


class _Form:
    """A statement's text for one dialect and one shape of its values: which there are, and how long each list is."""

    def __init__(self, statement: Any, dialect: Dialect, values: Mapping[str, Any], *, many: bool) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=list(values), for_executemany=many)
        state = compiled.construct_expanded_state(values)
        self.sql = state.statement
        self.fixed = [state.parameters[name] for name in state.positiontup]
        self.own = [(i, *own) for i, own in enumerate(_own(compiled, state, values)) if own is not None]
        columns = compiled._result_columns  # noqa: SLF001 - it is what results are made by
        self.names: tuple[Any, ...] = tuple(column.keyname for column in columns)
        self.row: Callable[[Any], Any] | None = None
        self.tables = _tables(statement)
        self.texts: dict[tuple[str, ...], str] = {}
        self._times: dict[int, _Form] = {}
        self._types = [column.type for column in columns]
        self._dialect = dialect

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values in the order of the text."""
        found = self.fixed.copy()
        for place, name, index, convert in self.own:
            value = values[name]
            if index is not None:
                first, second = index
                value = value[first] if second is None else value[first][second]
            found[place] = value if convert is None else convert(value)
        return tuple(found)

    def times(self, count: int) -> "_Form | None":
        """The same for so many rows; None: it is no plain INSERT, or there are too many for one text each."""
        if count == 1:
            return self
        head, found, group = self.sql.partition(" VALUES ")
        if count > FEW or not found or not head.startswith("INSERT ") or _MORE.search(group):
            return None
        if count not in self._times:
            made = self._times[count] = copy(self)
            groups = [_moved(group, i * len(self.fixed)) for i in range(count)]
            made.sql, made.fixed = f"{head} VALUES {', '.join(groups)}", self.fixed * count
            made.texts = {}
        return self._times[count]

    def behind(self, others: "Sequence[_Form]") -> str:
        """The text that runs the others too. Their order is not said: each is about tables of its own."""
        key = tuple(other.sql for other in others)
        if key not in self.texts:
            parts, count = [], 0
            for i, other in enumerate(others):
                parts.append(f"w{i} AS ({_moved(other.sql, count)})")
                count += len(other.fixed)
            self.texts[key] = f"WITH {', '.join(parts)} {_moved(self.sql, count)}"
        return self.texts[key]

    def rows(self, found: Sequence[Any], description: Sequence[Any] | None) -> Rows:
        if self.row is None:
            self.row = self._rows(description or ())
        rows = Rows(map(self.row, found))
        rows.names = self.names
        return rows

    def _rows(self, description: Sequence[Any]) -> Callable[[Any], Any]:
        if len(description) != len(self.names):  # it is all text, which says nothing of its columns
            self.names, self._types = (None,) * len(description), []
        pairs = zip(self.names, description, strict=True)
        self.names = tuple(name or column[0] for name, column in pairs)
        made = namedtuple("Row", self.names, rename=True)  # type: ignore[misc]
        converts = (
            type_.dialect_impl(self._dialect).result_processor(self._dialect, column[1])
            for type_, column in zip(self._types, description, strict=False)
        )
        wanted = [(i, convert) for i, convert in enumerate(converts) if convert is not None]
        if not wanted:
            return made._make

        def converted(row: Sequence[Any]) -> Any:
            values = list(row)
            for i, convert in wanted:
                values[i] = convert(values[i])
            return made._make(values)

        return converted


def _moved(sql: str, by: int) -> str:
    """The same with its values further behind."""
    return re.sub(r"\$(\d+)", lambda found: f"${int(found[1]) + by}", sql)


def _tables(statement: Any) -> frozenset[str]:
    """Every table that it names, wherever."""
    changed = getattr(statement, "table", None)
    own = set() if changed is None else {changed.name}
    return frozenset(own | {part.name for part in visitors.iterate(statement) if isinstance(part, Table)})


_Own = tuple[str, tuple[int, int | None] | None, Callable[[Any], Any] | None]
"""Whose value, which of its items, and what its type makes of it."""


def _own(compiled: SQLCompiler, state: Any, values: Mapping[str, Any]) -> Iterator[_Own | None]:
    """For each place of the text; None: its value never changes."""
    keys = {name: bind.key for bind, name in compiled.bind_names.items()}
    parts: dict[str, tuple[str, tuple[int, int | None]]] = {}
    for name, expanded in state.parameter_expansion.items():
        key = keys[name]
        wide = len(values[key][0]) if key in values and values[key] and isinstance(values[key][0], tuple) else 0
        for i, part in enumerate(expanded):
            parts[part] = (key, (i // wide, i % wide) if wide else (i, None))
    converts = {**compiled._bind_processors, **state.processors}  # noqa: SLF001 - as SQLAlchemy itself does it
    for name in state.positiontup:
        key, index = parts.get(name, (keys.get(name, name), None))
        yield (key, index, converts.get(name)) if key in values else None


class QuickConnection(Connection):
    """A connection that runs marked statements the short way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: list[tuple[_Form, tuple[Any, ...]]] = []
        """Changes that nobody has read yet; they go with the next statement, or before it."""

    def soon(self, statement: Any, listed: list[Mapping[str, Any]]) -> None:
        """Run a statement for rows of whose outcome nobody asks. On PostgreSQL, where a round trip is what costs, one that is
        about few goes together with the next ones, if each is about other tables; before whatever may see what it does.
        """
        marked = _FORMS.get(id(statement))
        if marked is None or self.dialect.name != "postgresql":
            self.execute(statement, listed)
            return
        one = self._form(*marked, listed[0], many=True)
        form = one.times(len(listed))
        if form is None:
            self.execute(statement, listed)
            return
        arguments = tuple(value for values in listed for value in one.arguments(values))
        if _CONTENDED in form.sql:  # its lock is taken in the order in which all writers take theirs
            self._together(form, arguments)
            return
        if self._is_about(form.tables):
            self.flush()
        self._waiting.append((form, arguments))

    def flush(self) -> None:
        """Run what waits, in one round trip."""
        if self._waiting:
            self._together(*self._waiting.pop())

    def forget(self) -> None:
        """What waits is rolled back with the rest."""
        self._waiting.clear()

    def _is_about(self, tables: frozenset[str]) -> bool:
        """Whether any of these tables is changed by what waits."""
        return any(tables & form.tables for form, _ in self._waiting)

    def _together(self, form: _Form, arguments: tuple[Any, ...]) -> Any:
        """This statement, and with it whatever waits."""
        if self._waiting and (form.sql.startswith("WITH") or self._is_about(form.tables)):
            self.flush()
        if not self._waiting:
            return self._run(form, form.sql, arguments, many=False)
        waiting, self._waiting = self._waiting, []
        told = (*(value for _, values in waiting for value in values), *arguments)
        return self._run(form, form.behind([other for other, _ in waiting]), told, many=False)

    def execute(self, statement: Any, parameters: Any = None, *, execution_options: Any = None) -> Any:
        marked = _FORMS.get(id(statement))
        if marked is None or execution_options is not None:
            self.flush()
            return super().execute(cast(Executable, statement), parameters, execution_options=execution_options)
        if isinstance(parameters, list):
            self.flush()
            return self._many(*marked, parameters)
        values: Mapping[str, Any] = parameters or {}
        form = self._form(*marked, values, many=False)
        return self._together(form, form.arguments(values))

    def exec_driver_sql(self, statement: str, parameters: Any = None, execution_options: Any = None) -> Any:
        self.flush()
        return super().exec_driver_sql(statement, parameters, execution_options)

    def _many(self, statement: Any, forms: dict[Shape, _Form], listed: Sequence[Mapping[str, Any]]) -> Any:
        form = self._form(statement, forms, listed[0], many=True)
        return self._run(form, form.sql, [form.arguments(values) for values in listed], many=True)

    def _form(self, statement: Any, forms: dict[Shape, _Form], values: Mapping[str, Any], *, many: bool) -> _Form:
        lengths = [len(value) for value in values.values() if isinstance(value, list)] if not many else []
        shape = (self.dialect.name, many, *values, *lengths)
        form = forms.get(shape)
        if form is None:
            form = forms[shape] = _Form(statement, self.dialect, values, many=many)
        return form

    def _run(self, form: _Form, sql: str, arguments: Sequence[Any], *, many: bool) -> Any:
        cursor = self.connection.cursor()
        try:
            if self._has_events or self.engine._has_events:  # noqa: SLF001 - as in SQLAlchemy's own execution
                self.dispatch.before_cursor_execute(self, cursor, sql, arguments, None, many)
            if many:
                cursor.executemany(sql, arguments)
                return Rows()
            cursor.execute(sql, arguments)
            rows = form.rows(cursor.fetchall(), cursor.description) if cursor.description else Rows()
            rows.rowcount = cursor.rowcount
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, self.dialect.loaded_dbapi.Error):
                raise
            self._refused(error, sql, cursor)  # also who was stopped in the middle: that line is not used again
        finally:
            cursor.close()
        return rows

    def _refused(self, error: BaseException, sql: str, cursor: Any) -> NoReturn:
        """In SQLAlchemy's words; a line on which the server's idea of a statement has changed is not used again."""
        if isinstance(error, getattr(self.dialect.loaded_dbapi, "InvalidCachedStatementError", ())):
            self.invalidate(error)
        self._handle_dbapi_exception(error, sql, None, cursor, None)
