"""A published wording is never edited."""

import pytest

from prompts import Library, lock

pytestmark = pytest.mark.fast


def test_the_shipped_library_says_what_its_lock_says():
    assert lock.read() == lock.current(Library.load()), "new version? run: python -m prompts.lock"


def _library(tmp_path, user):
    path = tmp_path / "a.yaml"
    path.write_text(f"slug: a\nversions: [{{version: 1, user: {user}, notes: n}}]", encoding="utf-8")
    return Library.load(tmp_path)


def test_an_edited_version_without_a_new_number_is_found(tmp_path):
    locked = lock.current(_library(tmp_path, "before"))
    now = lock.current(_library(tmp_path, "after"))
    assert lock.problems(locked, now) == [
        "a version 1 was changed: put it back, and write the new wording as a new version"
    ]


def test_another_form_of_the_answer_is_another_wording(tmp_path):
    locked = lock.current(_library(tmp_path, "same"))
    now = lock.current(_library(tmp_path, "same, output_schema: {type: object}"))
    assert lock.problems(locked, now) != []


def test_what_was_written_is_read_again(tmp_path):
    now = lock.current(_library(tmp_path, "before"))
    lock.write(tmp_path / "lock", now)
    assert lock.read(tmp_path / "lock") == now
