"""`genai-spine doctor`: what is wrong, and how to mend it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from streams import waiting
from streams.doctor import Finding, examine
from tests.parts.kafka import make_settings
from tests.streams.commands import run


async def _one(part: str, folder: Path, **changes: Any) -> Finding:
    settings = make_settings(**{"data_dir": folder / "data", "default_provider": "fake", **changes})
    return next(finding for finding in await examine(settings) if finding.part == part)


@pytest.mark.parametrize(
    ("part", "changes", "level", "says"),
    [
        ("python", {}, "ok", ""),
        ("disk", {}, "ok", ""),
        ("java", {}, "ok", ""),
        ("broker", {}, "note", "genai-spine broker start"),
        ("broker", {"kafka_brokers": "127.0.0.1:1"}, "bad", "GENAI_KAFKA_BROKERS"),
        ("database", {}, "note", "The first start makes it"),
        ("database", {"database_url": "postgresql://u:s@127.0.0.1:1/x"}, "bad", "GENAI_DATABASE_URL"),
        ("database", {"database_url": "mysql://x"}, "bad", ""),
        ("provider", {}, "ok", ""),
        ("provider", {"default_provider": "zz"}, "bad", "GENAI_DEFAULT_PROVIDER"),
        ("provider", {"default_provider": "ollama", "ollama_url": "http://127.0.0.1:1"}, "bad", "genai-spine up"),
        ("model", {}, "ok", ""),
        ("model", {"default_model": "zz"}, "bad", "GENAI_DEFAULT_MODEL"),
    ],
)
async def test_each_part_is_judged_and_its_mend_named(
    tmp_path: Path, part: str, changes: dict[str, Any], level: str, says: str
) -> None:
    found = await _one(part, tmp_path, **changes)
    assert (found.level, says in found.mend) == (level, True)


async def test_it_looks_and_makes_nothing(tmp_path: Path) -> None:
    await examine(make_settings(data_dir=tmp_path / "data", default_provider="fake"))
    assert not (tmp_path / "data").exists()


async def test_a_ledger_is_judged_by_its_schema(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path / "data")
    await waiting.for_schema(settings, lambda _: None, may_migrate=True)
    assert (await _one("database", tmp_path)).level == "ok"


def test_a_program_reads_it(tmp_path: Path) -> None:
    found = run(tmp_path / "data", "doctor", "--json", GENAI_DEFAULT_PROVIDER="zz")
    told = orjson.loads(found.stdout)
    assert (found.returncode, told["ok"]) == (1, False)
