"""The shipped prompts and how they are rendered."""

import subprocess
import sys
import time

import pytest

from prompts import BadPromptFile, BadVariables, ChangedPrompt, Library, Rendered, UnknownPrompt

pytestmark = pytest.mark.fast

TWO = """
slug: greet
variables:
  - {name: name, type: text}
  - {name: times, type: integer, default: 2}
  - {name: content, type: content, default: null}
versions:
  - {version: 1, user: "Hello {{ name }}", notes: first}
  - {version: 3, system: "Be {{ name }}.", user: "Hi {{ name }} x{{ times }}\\n{{ content or '' }}", notes: second}
"""


@pytest.fixture
def library(tmp_path):
    (tmp_path / "greet.yaml").write_text(TWO, encoding="utf-8")
    (tmp_path / "notes.txt").write_text("not a prompt", encoding="utf-8")
    return Library.load(tmp_path)


def test_the_newest_version_is_rendered_unless_one_is_named(library):
    assert (library.render("greet", name="Al"), library.render("greet", version=1, name="Al")) == (
        Rendered("greet", 3, "Be Al.", "Hi Al x2"),
        Rendered("greet", 1, None, "Hello Al"),
    )


def test_content_arrives_between_delimiters_and_unparsed(library):
    assert library.render("greet", name="Al", content="{{ 7 * 7 }}").user == "Hi Al x2\n<text>\n{{ 7 * 7 }}\n</text>"


WRONG = [
    (("nope", None, {}), UnknownPrompt, "there is no prompt 'nope'; there are greet"),
    (("greet", 2, {"name": "Al"}), UnknownPrompt, "the prompt 'greet' has no version 2; it has 1, 3"),
    (("greet", None, {}), BadVariables, "the prompt 'greet' needs the variable 'name' (text)"),
    (("greet", None, {"name": 1}), BadVariables, "the variable 'name' of the prompt 'greet' is text, not int"),
    (("greet", None, {"name": None}), BadVariables, "the variable 'name' of the prompt 'greet' is text, not NoneType"),
    (("greet", None, {"name": "A", "times": True}), BadVariables, "'times' of the prompt 'greet' is integer, not bool"),
    (("greet", None, {"name": "A", "nme": "B"}), BadVariables, "has no variable 'nme'; it has name, times, content"),
]


@pytest.mark.parametrize(("call", "error", "said"), WRONG, ids=[said for _, _, said in WRONG])
def test_a_wrong_call_says_what_would_be_right(library, call, error, said):
    slug, version, variables = call
    with pytest.raises(error) as caught:
        library.render(slug, version, **variables)
    assert said in str(caught.value)


def test_variables_of_another_version_are_neither_needed_nor_taken(library):
    with pytest.raises(BadVariables, match=r"has no variable 'times'; it has name$"):
        library.render("greet", version=1, name="Al", times=3)


def test_a_pin_holds_until_the_wording_under_its_number_changes(library, tmp_path):
    pin = library.wording("greet", 1).pin
    (tmp_path / "greet.yaml").write_text(TWO.replace("version: 3", "version: 4"), encoding="utf-8")
    assert Library.load(tmp_path).pinned(pin).render({"name": "Al"}).user == "Hello Al"
    (tmp_path / "greet.yaml").write_text(TWO.replace("Hello", "Hallo"), encoding="utf-8")
    with pytest.raises(ChangedPrompt, match="version 1 of the prompt 'greet' says something else here"):
        Library.load(tmp_path).pinned(pin)


def test_a_folder_of_ones_own_stands_beside_the_shipped_prompts(library, tmp_path):
    both = Library.load(beside=tmp_path)
    assert set(both.slugs()) == {*Library.load().slugs(), "greet"}
    (tmp_path / "summarize.yaml").write_text(TWO.replace("slug: greet", "slug: summarize"), encoding="utf-8")
    with pytest.raises(BadPromptFile, match=r"summarize.yaml: slug: 'summarize' is a shipped prompt's; choose another"):
        Library.load(beside=tmp_path)
    with pytest.raises(BadPromptFile, match="no such folder"):
        Library.load(beside=tmp_path / "nowhere")


def test_five_megabytes_of_content_are_rendered_fast():
    content = "An 8-K <text> filing. " * 240_000
    library = Library.load()
    started = time.process_time()
    library.render("summarize", content=content, max_sentences=1)
    assert time.process_time() - started < 1.0


def test_importing_the_room_reads_no_prompt_file():
    code = (
        "import sys; opened = []\n"
        "sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == 'open' else None)\n"
        "import prompts; sys.exit(any(name.endswith('.yaml') for name in opened))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
