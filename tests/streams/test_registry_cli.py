"""`genai-spine prompts` on the registry of a ledger."""

import json
from pathlib import Path

import pytest

from streams.cli import app
from tests.streams.test_cancel_cli import Ended, invoke
from tests.streams.webs import opened, web_settings

SHEET = """slug: port-news
name: port-news
description: News of ports.
category: news
tags:
- ferries
is_public: false
archived: false
labels:
  production: 1
versions:
- version: 1
  notes: First version.
  system: Be brief.
  template: |-
    {{ content }}
    For {{ port }}?
  variables:
  - name: content
    type: content
  - name: port
    type: text
    default: Bergen
- version: 4
  notes: Kinder.
  system: Be kind.
  template: '{{ content }}'
  variables:
  - name: content
    type: content
  preferences:
    temperature: 0.2
"""


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A ledger that a process has left; the command line's environment names the same folder."""
    async with opened(web_settings(tmp_path)):
        pass
    (tmp_path / "sheet.yaml").write_text(SHEET)
    return tmp_path


def run(folder: Path, *arguments: str) -> Ended:
    return invoke(app, folder, ["prompts", *arguments])


def test_what_was_imported_is_exported_byte_for_byte(folder: Path) -> None:
    told = run(folder, "import", "sheet.yaml", "--who", "ada")
    again = run(folder, "import", "sheet.yaml")
    assert (told.out, again.out) == (["port-news: new, versions 1, 4; moved production"], ["port-news: nothing new"])
    assert "\n".join(run(folder, "export", "port-news").out) + "\n" == SHEET


def test_a_label_is_moved_seen_and_moved_back(folder: Path) -> None:
    run(folder, "import", "sheet.yaml", "--who", "ada")
    assert run(folder, "label", "port-news", "production", "4", "--why", "kinder").out == [
        "port-news: production stands for version 4."
    ]
    assert json.loads("".join(run(folder, "show", "port-news", "--json").out))["version"] == 4
    assert run(folder, "rollback", "port-news", "--why", "too kind").out == [
        "port-news: production stands for version 1 again."
    ]
    history = json.loads("".join(run(folder, "labels", "port-news", "--json").out))["history"]
    assert [(each["from"], each["to"], each["why"]) for each in history] == [
        (4, 1, "rollback: too kind"),
        (1, 4, "kinder"),
        (None, 1, "imported"),
    ]
    weighted = run(folder, "label", "port-news", "beta", "1=9,4=1", "--why", "compare")
    assert weighted.out == ["port-news: beta stands for version 1 (9), version 4 (1)."]
    assert run(folder, "label", "port-news", "beta", "none", "--why", "done").out == [
        "port-news: beta stands for nothing."
    ]


def test_versions_are_listed_compared_put_away_and_taken_out(folder: Path) -> None:
    run(folder, "import", "sheet.yaml")
    listed = json.loads("".join(run(folder, "versions", "port-news", "--json").out))
    assert [(each["version"], each["labels"]) for each in listed] == [(4, []), (1, ["production"])]
    shown = run(folder, "diff", "port-news", "1", "4").out
    assert ("  -Be brief." in shown, "  +Be kind." in shown) == (True, True)
    run(folder, "archive", "port-news")
    assert run(folder, "show", "port-news").code == 2
    run(folder, "restore", "port-news")
    assert run(folder, "render", "port-news", "--var", "content=Late.").out[-1] == "For Bergen?"
    told = json.loads("".join(run(folder, "executions", "port-news", "--json").out))
    assert (told["slug"], told["versions"]) == ("port-news", [])


BAD: list[tuple[list[str], str]] = [
    (["versions", "nope"], "There is no prompt 'nope'"),
    (["diff", "port-news", "1", "9"], "has no version 9; it has 1, 4"),
    (["label", "port-news", "production", "9", "--why", "x"], "has no version 9; it has 1, 4"),
    (["label", "port-news", "production", "x", "--why", "x"], "'x' is no version"),
    (["label", "port-news", "Bad Label", "1", "--why", "x"], "label"),
    (["label", "port-news", "latest", "1", "--why", "x"], "nobody moves it"),
    (["rollback", "port-news", "beta", "--why", "x"], "stood nowhere before"),
    (["archive", "tone"], "comes with the program"),
    (["labels", "port-news", "--at", "yesterday"], "at='yesterday' is no moment"),
    (["import", "missing.yaml"], "Cannot read missing.yaml"),
    (["import", "broken.yaml"], "broken.yaml: not YAML"),
    (["import", "half.yaml"], "half.yaml: `versions`"),
    (["import", "default.yaml"], "cannot have the default 7: it is text, not int"),
    (["try", "port-news", "--candidate", "4", "--budget", "0"], "nothing to try it on"),
    (["try", "port-news", "--candidate", "4", "--budget", "0", "--on", "few"], "'few' is no number of requests"),
    (["try", "port-news", "--candidate", "9", "--budget", "0"], "has no version 9; it has 1, 4"),
    (["arms", "port-news", "beta"], "has no label 'beta'; it has production"),
    (["arms", "port-news", "production", "--from", "soon"], "from='soon' is no moment"),
    (["show", "port-news", "--version", "1", "--label", "production"], "Give either"),
]


def test_bad_input_is_told_what_to_do(folder: Path) -> None:
    (folder / "broken.yaml").write_text("slug: [")
    (folder / "half.yaml").write_text("slug: half")
    (folder / "default.yaml").write_text(
        SHEET.replace("slug: port-news", "slug: x").replace("default: Bergen", "default: 7")
    )
    run(folder, "import", "sheet.yaml")
    told = [
        (arguments, found.code, found.err)
        for arguments, words in BAD
        if words not in (found := run(folder, *arguments)).err
    ]
    assert told == []


def test_a_file_with_a_broken_prompt_changes_nothing(folder: Path) -> None:
    broken = SHEET.replace("slug: port-news", "slug: other").replace("{{ content }}'", "{{ nobody }}'")
    (folder / "two.yaml").write_text(f"{SHEET}---\n{broken}")
    assert "'nobody'" in run(folder, "import", "two.yaml").err
    assert run(folder, "show", "port-news").code == 2
