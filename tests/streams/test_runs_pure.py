"""What of runs decides without a world: lines of an upload, parts, ends, paces, names."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.runs import NewRun
from streams.runs import kinds, parts
from streams.runs.pace import Pace, left_s
from streams.runs.states import ended_as

pytestmark = pytest.mark.fast

_TEXT = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b" ", b"ccccccccc", "é".encode()]), max_size=40).map(
    b"".join
)
MOST = 6


async def _chunks(data: bytes, cuts: Sequence[int]) -> AsyncIterator[bytes]:
    begun = 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        yield data[begun:cut]
        begun = cut


def _split(data: bytes, cuts: Sequence[int]) -> list[tuple[int, bytes | None]]:
    async def found() -> list[tuple[int, bytes | None]]:
        return [each async for each in parts.split(_chunks(data, cuts), MOST)]

    return asyncio.run(found())


@given(_TEXT, st.lists(st.integers(0, 400), max_size=12))
def test_lines_are_the_same_however_an_upload_is_cut(data: bytes, cuts: list[int]) -> None:
    expected: list[tuple[int, bytes | None]] = [
        (number, None if len(line) > MOST else line.strip())
        for number, line in enumerate(data.split(b"\n"), 1)
        if len(line) > MOST or line.strip()
    ]
    assert _split(data, cuts) == expected


@pytest.mark.parametrize("cuts", [[], [1], [1, 2], [3], [4]])
def test_the_mark_that_a_file_begins_with_is_no_part_of_its_first_line(cuts: list[int]) -> None:
    mark = b"\xef\xbb\xbf"
    assert _split(mark + b"a\n" + mark + b"b", cuts) == [(1, b"a"), (2, mark + b"b")]
    assert _split(mark + b"\nb", cuts) == [(2, b"b")]


@given(st.lists(st.binary(max_size=20).map(lambda data: parts.line({"x": data.hex()})), max_size=1200))
def test_parts_hold_every_line_once_and_in_order(lines: list[bytes]) -> None:
    made = list(parts.packed(7, lines))
    assert [line for part in made for line in parts.lines_of(part.body)] == lines
    assert [part.first for part in made] == [7 + sum(p.size for p in made[:i]) for i in range(len(made))]
    assert all(0 < part.size <= parts.MOST for part in made)


@pytest.mark.parametrize(
    ("counts", "cancelled", "late", "expected"),
    [
        ((3, 0, 0), False, False, "succeeded"),
        ((3, 0, 0), True, True, "succeeded"),  # all had ended before the cancel
        ((2, 1, 0), False, False, "partially_failed"),
        ((0, 3, 0), False, False, "failed"),
        ((0, 0, 3), True, False, "cancelled"),
        ((2, 0, 1), True, True, "cancelled"),
        ((2, 1, 0), True, False, "partially_failed"),  # the cancel stopped nothing
        ((0, 0, 3), False, True, "expired"),
        ((1, 0, 2), False, True, "partially_failed"),
        ((0, 0, 3), False, False, "failed"),  # each was cancelled by its own id
    ],
)
def test_a_run_ends_as_its_items_did(counts: tuple[int, int, int], cancelled: bool, late: bool, expected: str) -> None:
    assert ended_as(*counts, cancelled=cancelled, late=late) == expected


def test_a_pace_is_that_of_late_and_is_not_told_of_too_few() -> None:
    pace = Pace()
    told = [
        pace.saw(at, done) for at, done in [(0.0, 0), (10.0, 4), (20.0, 20), (1000.0, 20), (1010.0, 120), (1011.0, 3)]
    ]
    # (20 - 0) / 20 s; then nothing for so long that only the last stretch counts: (120 - 20) / (1010 - 20) s
    assert [None if each is None else round(each, 3) for each in told] == [None, None, 1.0, None, 0.101, None]


@pytest.mark.parametrize(
    ("total", "done", "per_s", "expected"),
    [(100, 40, 2.0, 30.0), (None, 40, 2.0, None), (100, 40, None, None), (100, 40, 0.0, None), (100, 100, 2.0, None)],
)
def test_how_long_the_rest_takes(total: int | None, done: int, per_s: float | None, expected: float | None) -> None:
    assert left_s(total, done, per_s) == expected


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, "normal"),
        ({"kind": "workflow", "name": "batch_summarize"}, "batch"),
        ({"priority": "low"}, "batch"),
        ({"priority": "realtime", "lane": "gpu"}, "realtime"),
        ({"lane": "any"}, "normal"),
        ({"priority": "low", "lane": "batch"}, "batch"),
        ({"priority": "low", "lane": "normal"}, None),
    ],
)
def test_lanes_by_two_words(told: dict[str, str], expected: str | None) -> None:
    new = NewRun.model_validate({"kind": "task", "name": "summarize"} | told)
    if expected is None:
        with pytest.raises(kinds.BadRun, match="different lanes"):
            kinds.lane_of(new)
    else:
        assert kinds.lane_of(new) == expected


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        (
            "batch_summarize",
            {"texts": ["a", {"text": "b"}], "style": "x"},
            [{"style": "x", "content": "a"}, {"style": "x", "content": "b"}],
        ),
        ("batch_summarize", {"items": ["a"], "model": "m"}, [{"content": "a"}]),
        ("batch_complete", {"prompts": ["a"]}, [{"prompt": "a"}]),
        (
            "batch_execute_prompt",
            {"prompt_id": "p", "variables": [{"text": 1}]},
            [{"prompt": "p", "variables": {"text": 1}}],
        ),
    ],
)
def test_inputs_of_a_list(name: str, params: dict[str, object], expected: list[object]) -> None:
    new = NewRun.model_validate({"kind": "workflow", "name": f"genai.{name}", "params": params})
    assert kinds.inputs(new, kinds.of(new)[1]) == expected
