"""Forms with a file, as they come: fields are small and kept, the file goes on piece by piece."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from streams.web.openai.fields import wrong

MOST_FIELD = 4_096
"""Bytes of a field that is no file."""


@dataclass(slots=True)
class Piece:
    """Of one field: `file` is its file's name, None for a field without one; `ends` with the last piece."""

    name: str
    file: str | None
    data: bytes
    ends: bool = False


class _Heard:
    """What the parser has told since it was last asked."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self._header, self._value = bytearray(), bytearray()
        self._now = Piece("", None, b"")
        self.is_whole = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_part_end": lambda: self.pieces.append(Piece(self._now.name, self._now.file, b"", ends=True)),
            "on_end": self._end,
        }

    def _end(self) -> None:
        self.is_whole = True

    def _begin(self) -> None:
        self._now = Piece("", None, b"")

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            file = options.get(b"filename")
            name = options.get(b"name", b"").decode(errors="replace")
            self._now = Piece(name, None if file is None else file.decode(errors="replace"), b"")
        self._header, self._value = bytearray(), bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self.pieces.append(Piece(self._now.name, self._now.file, data[start:end]))


async def pieces(content_type: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[Piece]:
    """Raises `Problem` 400 for what is no whole form."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise wrong("file", "Send a form: multipart/form-data with the fields `purpose` and `file`.")
    heard = _Heard()
    try:
        parser = MultipartParser(boundary, heard.callbacks())  # type: ignore[arg-type]
        async for chunk in chunks:
            parser.write(chunk)
            told, heard.pieces = heard.pieces, []
            for piece in told:
                yield piece
    except FormParserError as error:
        raise wrong("file", f"The form is broken: {str(error)[:200]}.") from None
    if not heard.is_whole:
        raise wrong("file", "The form ends in the middle; send it again.")
