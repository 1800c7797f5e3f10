"""What somebody gave to `submit`, as requests: a text, a JSON document, JSON Lines, or a folder of texts.

Each has an id before it is sent: its own, or one made of what it asks. So the same input sent again is the same requests,
which the ledger answers from its records.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from agents.base import Operation
from schemas.request import CHANGE_THE_ANSWER, Name
from streams.decode import envelope
from streams.errors import SpineError

Format = Literal["auto", "text", "json", "jsonl"]

STDIN = "-"
_LINES = {".jsonl", ".ndjson"}
_TEXTS = {".txt", ".text", ".md", ".rst"}
_BOM = b"\xef\xbb\xbf"
_name: TypeAdapter[str] = TypeAdapter(Name)


@dataclass(frozen=True, slots=True)
class Line:
    """One request, ready to be sent. `where`: its place in what was given, such as `line 731`; `asks`: a digest of what makes
    two records the same request.
    """

    where: str
    operation: str
    tenant: str | None
    id: str
    value: bytes
    asks: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Bad:
    """What is no request, and why. `left_out`: a file in a folder that is no text, which nobody asked for."""

    where: str
    why: str
    left_out: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What holds for all: the operation of those that name none, and input fields and options that they may lack."""

    operations: Mapping[str, Operation]
    operation: str | None = None
    most: int = 1 << 20
    """Bytes that fit into a request topic."""
    input: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def read(name: str, form: Format, wish: Wish) -> Iterator[Line | Bad]:
    """Everything in a file, a folder or standard input (`-`). Raises SpineError for what cannot be read at all."""
    try:
        if name != STDIN and name and Path(name).is_dir():
            yield from _folder(Path(name), wish)
            return
        if name == STDIN:
            yield from _stream(sys.stdin.buffer, "standard input", _form(form, ""), wish)
            return
        with open(name, "rb") as stream:  # noqa: PTH123 - Path("") would be the working directory
            yield from _stream(stream, Path(name).name, _form(form, Path(name).suffix.lower()), wish)
    except OSError as error:
        raise _unreadable(name, error) from error


def apart(found: Iterable[Line | Bad], whose: Callable[[Line], Hashable]) -> Iterator[Line | Bad]:
    """The same, but that one identity asks one thing: the ledger would answer the second with a conflict, under the id that
    the first one's answer has too.
    """
    first: dict[Hashable, tuple[str, str]] = {}
    for each in found:
        if isinstance(each, Bad):
            yield each
            continue
        where, asks = first.setdefault(whose(each), (each.where, each.asks))
        if asks == each.asks:
            yield each
        else:
            words = f"has the id of {where} and asks something else (idempotency_conflict); give it an id of its own"
            yield Bad(each.where, words)


def parse(lines: Iterable[bytes], wish: Wish) -> Iterator[Line | Bad]:
    """JSON Lines. Blank ones are skipped; a line is the record itself, or flat as over HTTP; its `operation` goes first."""
    for number, raw in enumerate(lines, 1):
        text = (raw.removeprefix(_BOM) if number == 1 else raw).strip()
        if not text:
            continue
        where = f"line {number}"
        try:
            yield _request(orjson.loads(text), where, wish)
        except orjson.JSONDecodeError as error:
            yield Bad(where, f"is not JSON ({error})")
        except ValueError as error:
            yield Bad(where, str(error))


def _form(form: Format, suffix: str) -> Format:
    if form != "auto":
        return form
    return "jsonl" if suffix in _LINES else "text" if suffix in _TEXTS else "auto"


def _stream(stream: BinaryIO, name: str, form: Format, wish: Wish) -> Iterator[Line | Bad]:
    if form == "jsonl":
        yield from parse(stream, wish)
        return
    if form == "auto":
        head = _head(stream)
        if head.strip().startswith(b"{") and _is_json(head):
            yield from parse(_again(head, stream), wish)
            return
        form, data = _guess(head), head + stream.read()
    else:
        data = stream.read()
    if form == "json":
        yield from _document(data.removeprefix(_BOM), name, wish)
    elif data.strip():
        yield _text_of(data, name, wish)


def _head(stream: BinaryIO) -> bytes:
    """Up to the first line that is not blank."""
    head = b""
    for line in stream:
        head += line
        if line.removeprefix(_BOM).strip():
            break
    return head


def _again(head: bytes, stream: BinaryIO) -> Iterator[bytes]:
    yield from head.splitlines(keepends=True)
    yield from stream


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return False
    return True


def _guess(head: bytes) -> Format:
    return "json" if head.removeprefix(_BOM).lstrip()[:1] in {b"{", b"["} else "text"


def _document(data: bytes, name: str, wish: Wish) -> Iterator[Line | Bad]:
    """One object, or a list of them. What is no JSON as a whole but by lines is JSON Lines with a broken first line."""
    try:
        found = orjson.loads(data) if data.strip() else []
    except orjson.JSONDecodeError as error:
        lines = data.splitlines()
        if not any(line.lstrip().startswith(b"{") and _is_json(line) for line in lines):
            raise SpineError(f"{name} is not JSON ({error}). Mend it, or say what it is with --format.") from None
        yield from parse(lines, wish)
        return
    for number, fields in enumerate(found if isinstance(found, list) else [found], 1):
        where = f"item {number}"
        try:
            yield _request(fields, where, wish)
        except ValueError as error:
            yield Bad(where, str(error))


def _folder(folder: Path, wish: Wish) -> Iterator[Line | Bad]:
    """Its text files by name, those below it too; hidden ones are left out. Raises OSError for the folder itself."""
    for path in sorted(folder.iterdir()):
        yield from _below(folder, path, wish)


def _below(folder: Path, path: Path, wish: Wish) -> Iterator[Line | Bad]:
    if path.name.startswith("."):
        return
    told = os.fsencode(path.relative_to(folder)).decode(errors="replace").replace(os.sep, "/")
    name = "".join(each if each.isprintable() else "�" for each in told)
    try:
        if path.is_dir() and not path.is_symlink():  # a link may lead back up
            for each in sorted(path.iterdir()):
                yield from _below(folder, each, wish)
        elif not path.stat() or not path.is_file():
            yield Bad(name, "is no regular file", left_out=True)
        elif path.stat().st_size > wish.most:
            yield Bad(name, _too_large(path.stat().st_size, wish.most))
        else:
            yield _text_of(path.read_bytes(), name, wish, in_folder=True)
    except OSError as error:
        yield Bad(name, f"cannot be read ({error.strerror})")


def _text_of(data: bytes, name: str, wish: Wish, *, in_folder: bool = False) -> Line | Bad:
    """A whole text as one request; in a folder the file's name begins its id."""
    if wish.operation is None:
        raise SpineError(f"{name} is a text; say what to do with it: --operation summarize, for example.", exit_code=2)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return Bad(name, f"is not UTF-8 text (byte {error.start})", left_out=in_folder)
    if "\0" in text:
        return Bad(name, "holds bytes that are no text", left_out=in_folder)
    if not text.strip():
        return Bad(name, "holds no text")
    try:
        return _request({"input": {_text_field(wish): text}}, name, wish, name if in_folder else "")
    except ValueError as error:
        return Bad(name, str(error))


def _text_field(wish: Wish) -> str:
    """Where an operation takes its text."""
    fields = wish.operations[_known(wish.operation, wish)].input.model_fields
    if "content" in fields:
        return "content"
    if "messages" in fields:
        return "prompt"
    raise SpineError(f"{wish.operation} takes no single text; send it JSON with its fields.", exit_code=2)


def _known(named: Any, wish: Wish) -> str:
    if not isinstance(named, str):
        raise ValueError("names no operation; add one to it, or give --operation")  # noqa: TRY004 - one kind for all
    operation = named.replace("-", "_")
    if operation not in wish.operations:
        raise ValueError(f"names the operation {operation!r}; there are {', '.join(sorted(wish.operations))}")
    return operation


def _request(fields: Any, where: str, wish: Wish, file: str = "") -> Line:
    """Raises ValueError with what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError('is no JSON object; write {"operation": …, "input": {…}}')  # noqa: TRY004 - one kind for all
    operation = _known(fields.pop("operation", None) or wish.operation, wish)
    record = _completed(envelope(fields), wish)
    tenant, given = _named(record, "tenant"), _named(record, "id")
    asks = _asks(operation, record)
    if given is None:
        record = {**_marked(record, where), "id": f"{file[-400:]}#{asks[:12]}" if file else f"submit/{asks}"}
    value = orjson.dumps(record)
    if len(value) > wish.most:
        raise ValueError(_too_large(len(value), wish.most))
    return Line(where, operation, tenant, given or str(record["id"]), value, asks)


def _completed(record: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """With what was wished for all; what the record says itself goes first."""
    added = {"input": {**wish.input, **record["input"]}}
    options = record.get("options")
    if wish.options and (options is None or isinstance(options, dict)):
        added["options"] = {**wish.options, **(options or {})}
    return {**record, **added}


def _named(record: dict[str, Any], field_name: str) -> str | None:
    value = record.get(field_name)
    if value is None:
        return None
    try:
        return _name.validate_python(value, strict=True)
    except ValidationError:
        words = "has 1 to 512 characters, none of them a control character"
        raise ValueError(f"has no usable {field_name}: it is a text that {words}") from None


def _asks(operation: str, record: dict[str, Any]) -> str:
    """What makes two records the same request."""
    options = record.get("options")
    told = {name: options[name] for name in CHANGE_THE_ANSWER if name in options} if isinstance(options, dict) else {}
    packed = orjson.dumps([operation, record["input"], told], option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).hexdigest()


def _marked(record: dict[str, Any], item: str) -> dict[str, Any]:
    """Its place comes back with the answer, since its id says nothing."""
    metadata = record.get("metadata") or {}
    return {**record, "metadata": {"item": item, **metadata}} if isinstance(metadata, dict) else record


def _too_large(size: int, most: int) -> str:
    return f"has {size} bytes; at most {most} fit into its topic (GENAI_REQUEST_MAX_BYTES)"


def _unreadable(name: str, error: OSError) -> SpineError:
    return SpineError(f"Cannot read {name} ({error.strerror}). Name a file or a folder that you may read, or - .")
