"""`genai-spine keys`: made, shown once, rotated and revoked, and what `doctor` says of the door."""

import asyncio
from pathlib import Path

import orjson
import pytest
from click.testing import Result
from typer.testing import CliRunner

from store import keys as rows
from store.database import Database, parse_url
from streams import keys
from streams.commands.keys import app
from streams.doctor import _door
from streams.errors import SpineError
from streams.web.auth import check_operator
from tests.parts.kafka import make_settings
from tests.parts.ledgers import migrate
from tests.streams.commands import run


def told(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of this process's commands."""
    monkeypatch.setenv("GENAI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("GENAI_DATABASE_URL", raising=False)
    asyncio.run(_migrated(tmp_path))
    return tmp_path


async def _migrated(folder: Path) -> None:
    database = Database(parse_url(f"sqlite:///{folder / 'genai.db'}"))
    await migrate(database)
    await database.aclose()


def test_a_key_is_shown_once_and_lives_its_life(ledger: Path) -> None:
    made = told("create", "app", "--tenant", "t", "--operations", "summ*", "--rpm", "60", "--expires", "90d")
    assert made.exit_code == 0, repr(made.exception)
    key = made.stdout.strip()
    (listed,) = [orjson.loads(line) for line in told("list", "--json").stdout.splitlines()]
    shown, table = told("show", key[:14]).stdout, told("list").stdout
    rotated = orjson.loads(told("rotate", listed["id"], "--overlap", "1h", "--json").stdout)
    revoked, again, after = told("revoke", listed["id"]), told("revoke", listed["id"]), told("rotate", listed["id"])
    assert (made.exit_code, keys.is_one(key), "only time" in made.stderr) == (0, True, True)
    assert (listed["prefix"], listed["tenant"], listed["operations"], listed["rpm"]) == (key[:14], "t", ["summ*"], 60)
    assert (key[:14] in shown, key[:14] in table, key in shown + table + str(listed)) == (True, True, False)
    assert (rotated["old_prefix"], rotated["key"] != key, rotated["id"]) == (key[:14], True, listed["id"])
    assert ("is revoked" in revoked.stdout, "before" in again.stdout, "was revoked" in str(after.exception)) == (
        True,
    ) * 3
    assert key.encode() not in b"".join(file.read_bytes() for file in ledger.glob("genai.db*"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["create", "a", "--rpm", "0"], 2, "no whole number"),
        (["create", "a", "--lanes", "fast"], 2, "no lane"),
        (["create", "a", "--expires", "soon"], 2, "no length of time"),
        (["create", "a", "--admin", "--tenant", "t"], 2, "leave the tenant out"),
        (["show", "nobodys"], 1, "Nobody has made"),
        (["revoke", "nobodys"], 1, "Nobody has made"),
        (["rotate", "nobodys", "--overlap", "never"], 2, "--overlap"),
    ],
)
def test_what_cannot_be_is_said(ledger: Path, arguments: list[str], code: int, words: str) -> None:
    found = told(*arguments)
    assert isinstance(found.exception, SpineError)
    assert (found.exception.exit_code, words in str(found.exception)) == (code, True)
    assert ledger.is_dir()


def test_before_there_is_a_ledger_no_key_is_made(tmp_path: Path) -> None:
    found = run(tmp_path, "keys", "create", "app")
    assert (found.returncode, found.stdout, "`migrate`" in found.stderr) == (1, "", True)


async def test_doctor_says_whether_the_door_is_open(tmp_path: Path) -> None:
    said = []

    async def look(**changes: object) -> None:
        (found,) = await _door(make_settings(data_dir=tmp_path, **changes))
        said.append((found.level, found.words.partition(":")[0]))

    await look()
    await look(api_host="0.0.0.0")
    await look(api_host="0.0.0.0", allow_insecure=True)
    await look(api_host="0.0.0.0", api_key="k")
    await _migrated(tmp_path)
    database = Database(parse_url(f"sqlite:///{tmp_path / 'genai.db'}"))
    wish = keys.wish({"name": "n"})
    await database.write(lambda conn: rows.create(conn, "key-1", keys.secret(keys.fresh()), wish))
    await database.aclose()
    await look()
    assert said == [
        ("note", "open to every program on this machine"),
        ("bad", "will not open"),
        ("bad", "open to the network"),
        ("ok", "closed"),
        ("ok", "closed"),
    ]


@pytest.mark.fast
def test_somebodys_key_is_not_taken_for_the_operators() -> None:
    check_operator(make_settings(api_key="k"))
    with pytest.raises(SpineError, match="callers send"):
        check_operator(make_settings(api_key=keys.fresh()))
