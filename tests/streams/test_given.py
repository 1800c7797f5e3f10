"""What was given to `submit`: told apart, named by its place, with an id that stays."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from agents import OPERATIONS
from streams.commands.submitting import told
from streams.errors import SpineError
from streams.given import Bad, Format, Line, Wish, apart, parse, read

pytestmark = pytest.mark.fast

ONE = b'{"operation": "summarize", "id": "a", "input": {"content": "x"}}'


def _read(path: Path, form: Format = "auto", **wishes: Any) -> list[Line | Bad]:
    return list(read(str(path), form, Wish(OPERATIONS, **wishes)))


def _lines(path: Path, form: Format = "auto", **wishes: Any) -> list[tuple[str, str, dict[str, Any]]]:
    found = _read(path, form, **wishes)
    assert [each for each in found if isinstance(each, Bad)] == []
    return [(each.where, each.id, orjson.loads(each.value)) for each in found if isinstance(each, Line)]


def test_lines_are_taken_whole_or_flat_and_bad_ones_are_named() -> None:
    given = [
        ONE,
        b"",
        b'{"content": "x", "tenant": "t", "id": "b"}',
        b"{",
        b"[1]",
        b'{"operation": "dance", "content": "x"}',
        b'{"operation": 3, "content": "x"}',
        orjson.dumps({"id": "c", "content": "x" * 300}),
        b'{"content": "x", "id": 7}',
    ]
    id_rule = "has no usable id: it is a text that has 1 to 512 characters, none of them a control character"
    assert list(parse(given, Wish(OPERATIONS, "embed", 200))) == [
        Line("line 1", "summarize", None, "a", b'{"id":"a","input":{"content":"x"}}'),
        Line("line 3", "embed", "t", "b", b'{"tenant":"t","id":"b","input":{"content":"x"}}'),
        Bad("line 4", "is not JSON (unexpected end of data: line 1 column 2 (char 1))"),
        Bad("line 5", 'is no JSON object; write {"operation": …, "input": {…}}'),
        Bad("line 6", f"names the operation 'dance'; there are {', '.join(sorted(OPERATIONS))}"),
        Bad("line 7", "names no operation; add one to it, or give --operation"),
        Bad("line 8", "has 333 bytes; at most 200 fit into its topic (GENAI_REQUEST_MAX_BYTES)"),
        Bad("line 9", id_rule),
    ]


def test_an_id_that_asks_two_things_is_a_conflict_told_by_its_line() -> None:
    given = [
        ONE,
        ONE.replace(
            b'"id"', b'"metadata": {"n": 1}, "id"'
        ),  # the same: what is asked is told apart, not how it is written
        ONE.replace(b'"x"', b'"y"'),
        ONE.replace(b"summarize", b"embed"),  # another operation's ids are others
        ONE.replace(b'"x"}', b'"x"}, "options": {"model": "m"}'),
        ONE.replace(b'"id"', b'"tenant": "t", "id"'),
    ]
    found = list(apart(parse(given, Wish(OPERATIONS)), lambda line: (line.tenant, line.operation, line.id)))
    conflict = "has the id of line 1 and asks something else (idempotency_conflict); give it an id of its own"
    assert [each.where for each in found if isinstance(each, Line)] == ["line 1", "line 2", "line 4", "line 6"]
    assert [each for each in found if isinstance(each, Bad)] == [Bad("line 3", conflict), Bad("line 5", conflict)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Bad("line 7", "is not JSON"), "Line 7 is not JSON."),
        (Bad("item 7", "is not JSON"), "Item 7 is not JSON."),
        (Bad("empty.txt", "holds no text"), "empty.txt holds no text."),
        (Bad("x.png", "holds bytes that are no text", left_out=True), "Left out: x.png holds bytes that are no text."),
    ],
)
def test_files_are_called_by_their_names(bad: Bad, words: str) -> None:
    assert told(bad) == words


def test_a_broken_line_731_is_named_and_the_others_run(tmp_path: Path) -> None:
    lines = [orjson.dumps({"operation": "embed", "content": str(n)}) for n in range(1000)]
    lines[730] = b'{"operation": "embed", "content": '
    (tmp_path / "feed.jsonl").write_bytes(b"\n".join(lines))
    found = _read(tmp_path / "feed.jsonl")
    assert ([each.where for each in found if isinstance(each, Bad)], len(found)) == (["line 731"], 1000)


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("one.json", ONE, ["line 1"]),
        ("pretty.json", b'{\n "operation": "embed",\n "content": "x"\n}\n', ["item 1"]),
        ("list.json", b'\n[{"operation": "embed", "content": "x"}, ' + ONE + b"]", ["item 1", "item 2"]),
        ("lines", b"\xef\xbb\xbf" + ONE + b"\n" + ONE, ["line 1", "line 2"]),  # by its first line; a mark is no error
        ("broken-first.json", b'{"operation\n' + ONE, ["line 1", "line 2"]),
        ("note.txt", b"[Reuters] A bank said.", ["note.txt"]),
        ("note", b"A bank said.\nIt is so.", ["note"]),
    ],
)
def test_the_kind_is_told_by_name_and_first_line(tmp_path: Path, name: str, content: bytes, places: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    assert [each.where for each in _read(tmp_path / name, operation="summarize")] == places


@pytest.mark.parametrize(
    ("name", "content", "operation", "says"),
    [
        ("note.txt", b"A bank said.", None, "--operation"),
        ("broken.json", b"[{]", "embed", "is not JSON"),
        ("missing", None, "embed", "Cannot read"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, operation: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SpineError, match=says):
        _read(tmp_path / name, operation=operation)


def test_no_name_is_not_the_working_directory() -> None:
    with pytest.raises(SpineError, match="Cannot read"):
        list(read("", "auto", Wish(OPERATIONS, "embed")))


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    for name in ("a.txt", "a.json", "a.jsonl", "a"):
        (tmp_path / name).write_bytes(b" \n")
        assert _read(tmp_path / name, operation="embed") == []


def test_a_folder_is_its_text_files_each_with_an_id_of_name_and_content(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name, content in (("b.md", b"two"), ("below/a.txt", b"one"), (".hidden", b"three"), ("p.png", b"\x89\0")):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    found = _read(tmp_path, operation="summarize")
    assert [(each.where, each.id.partition("#")[0]) for each in found if isinstance(each, Line)] == [
        ("b.md", "b.md"),
        ("below/a.txt", "below/a.txt"),
    ]
    assert [(each.where, each.left_out) for each in found if isinstance(each, Bad)] == [
        ("empty", False),
        ("gone", False),
        ("p.png", True),
        ("pipe", True),
    ]


@pytest.fixture
def nobody() -> Iterator[None]:
    """Who may read nothing of this test's; root may read everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    yield
    os.seteuid(was)


def test_a_folder_without_permission_is_told(tmp_path: Path, nobody: None) -> None:
    if os.geteuid() != 65534:
        tmp_path.chmod(0)
    try:
        with pytest.raises(SpineError, match="Permission denied"):
            _read(tmp_path, operation="summarize")
    finally:
        if os.geteuid() != 65534:
            tmp_path.chmod(0o700)


def test_the_id_is_made_of_what_is_asked_and_of_nothing_else(tmp_path: Path) -> None:
    same = [
        {"operation": "embed", "content": "x"},
        {"operation": "embed", "input": {"content": "x"}, "metadata": {"m": 1}, "options": {"timeout_s": 3}},
        {"content": "x", "operation": "embed", "tenant": "t"},
    ]
    other = [
        {"operation": "summarize", "content": "x"},
        {"operation": "embed", "content": "y"},
        {"operation": "embed", "content": "x", "options": {"model": "m"}},
    ]
    found = [each.id for each in parse(map(orjson.dumps, [*same, *other]), Wish(OPERATIONS)) if isinstance(each, Line)]
    assert (len(set(found[:3])), len(set(found))) == (1, 4)


def test_wishes_for_all_are_filled_in_where_they_are_lacking(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'{"id": "a", "content": "x"}\n{"id": "b", "input": {"content": "y", "categories": ["q"]}, "options": {"model": "n"}}'
    )
    wishes = {"operation": "classify", "input": {"categories": ["p"]}, "options": {"model": "m", "temperature": 0}}
    assert [record for _, _, record in _lines(tmp_path / "a.jsonl", **wishes)] == [
        {"id": "a", "input": {"categories": ["p"], "content": "x"}, "options": {"model": "m", "temperature": 0}},
        {"id": "b", "input": {"categories": ["q"], "content": "y"}, "options": {"model": "n", "temperature": 0}},
    ]


def test_what_has_no_id_of_its_own_gets_its_place_back(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.")
    ((_, id_, record),) = _lines(tmp_path / "a.txt", operation="complete")
    assert (record["metadata"], record["input"], id_ == record["id"]) == ({"item": "a.txt"}, {"prompt": "One."}, True)
