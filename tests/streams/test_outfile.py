"""The file of `submit --out`: results as they come, gone on with where a run was broken off."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.errors import SpineError
from streams.outfile import opened

pytestmark = pytest.mark.fast


def _result(id_: str, status: str = "succeeded") -> dict[str, Any]:
    return {"id": id_, "operation": "embed", "status": status, "tenant": "t"}


def _packed(*results: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(each) + b"\n" for each in results)


def test_each_result_is_in_the_file_as_soon_as_it_came(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as out:
        out.write(_result("a"))
        assert (tmp_path / "out").read_bytes() == _packed(_result("a"))


@pytest.mark.parametrize("torn", [b"", b'{"id":"c","opera'])
def test_a_second_run_goes_on_behind_the_last_whole_line(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "out").write_bytes(_packed(_result("a"), _result("b", "failed")) + torn)
    with opened(tmp_path / "out") as out:
        assert out.done == {("t", "embed", "a")}  # what failed is asked again
        out.write(_result("b"))
    assert (tmp_path / "out").read_bytes() == _packed(_result("a"), _result("b", "failed"), _result("b"))


def test_a_torn_first_line_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b'{"id":"c","opera')
    with opened(tmp_path / "out") as out:
        out.write(_result("c"))
    assert (tmp_path / "out").read_bytes() == _packed(_result("c"))


@pytest.mark.parametrize(
    "content", [b"my notes", b"my notes\n", b'{"operation": "embed", "content": "x"}\n', b"[1]\n", b'{"id": 1}\n']
)
def test_a_file_of_other_things_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(SpineError, match="Name another"), opened(tmp_path / "mine"):
        pass
    assert (tmp_path / "mine").read_bytes() == content


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpineError, match="Is a directory"), opened(tmp_path):
        pass


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    with opened(tmp_path / "out"), pytest.raises(SpineError, match="Another submit"), opened(tmp_path / "out"):
        pass
