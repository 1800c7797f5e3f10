"""Definitions: read, checked, and what is wrong told by file, line and column."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from agents import OPERATIONS
from agents.pipelines import defining
from agents.pipelines.checking import Known
from agents.pipelines.defining import BadPipeline
from agents.pipelines.functions import FUNCTIONS
from schemas.pipelines import Declared, Pipeline, Step

pytestmark = pytest.mark.fast

KNOWN = Known(OPERATIONS, FUNCTIONS)
WHOLE = """\
name: whole
inputs:
  texts: {type: list, of: text}
  most: {type: integer, default: 3}
steps:
  - name: each
    use: summarize
    map: ${inputs.texts}
    when: {value: "${item}", not_equals: ""}
    with: {content: "${item}", max_sentences: "${inputs.most}"}
    options: {model: "${inputs.most}"}
    on_error: skip
  - name: good
    use: without_null
    with: {items: "${steps.each.output[*].summary}"}
  - name: vectors
    use: embed
    when: {value: "${steps.good.output}", is_empty: false}
    with: {texts: "${steps.good.output}"}
    after: [each]
collect: {summaries: "${steps.good.output}", dimensions: "${steps.vectors.output.dimensions}"}
"""


def wrong(text: str) -> list[str]:
    with pytest.raises(BadPipeline) as error:
        defining.read("f.yaml", dedent(text), KNOWN)
    return str(error.value).splitlines()


def test_a_definition_is_read_whole() -> None:
    found = defining.read("f.yaml", WHOLE, KNOWN)
    assert ([step.name for step in found.steps], found.step("each").on_error) == (["each", "good", "vectors"], "skip")


@pytest.mark.parametrize(
    ("before", "after", "flaw"),
    [
        ("use: summarize", "use: sumarize", "f.yaml:7:5: steps[0].use: there is no 'sumarize' (did you mean 'summarize'?); there are"),
        ("${inputs.texts}", "${inputs.text}", "f.yaml:8:5: steps[0].map: ${inputs.text}: there is no input 'text' (did you mean 'texts'?)"),
        ("${inputs.texts}", "${inputs.most}", "f.yaml:8:5: steps[0].map: is no list"),
        ("${inputs.texts}", "${item}", "f.yaml:8:5: steps[0].map: ${item} is there only in a step with `map`"),
        ('{content: "${item}", ', "{", "f.yaml:10:5: steps[0].with: 'summarize' needs `content`; give it under `with`"),
        ('content: "${item}"', 'content: "${inputs.texts}"', "f.yaml:10:12: steps[0].with.content: ${inputs.texts} is list, and `content`"),
        ('content: "${item}"', "content: 7", "f.yaml:10:12: steps[0].with.content: 7 is integer, and `content` takes text"),
        ("max_sentences:", "max_sentence:", "f.yaml:10:32: steps[0].with.max_sentence: 'summarize' takes no `max_sentence` (did you mean"),
        ("{model:", "{modell:", "f.yaml:11:15: steps[0].options.modell: there is no option 'modell' (did you mean 'model'?)"),
        ('model: "${inputs.most}"', 'model: "${item}"', "f.yaml:11:15: steps[0].options.model: an option may refer to inputs only"),
        ("output[*].summary", "output[*].sumary", "f.yaml:15:12: steps[1].with.items: ${steps.each.output[*].sumary}: there is no"),
        ("output[*].summary", "output.summary", "f.yaml:15:12: steps[1].with.items: ${steps.each.output.summary}: there is no"),
        ("steps.each.output[*]", "steps.eech.output[*]", "f.yaml:15:12: steps[1].with.items: ${steps.eech.output[*].summary}: there is no"),
        ("after: [each]", "after: [echo]", "f.yaml:20:13: steps[2].after[0]: there is no step 'echo'"),
        ("name: good", "name: each", "f.yaml:13:5: steps[1].name: a step 'each' stands above already"),
        ("output.dimensions", "output.dims", "f.yaml:21:46: collect.dimensions: ${steps.vectors.output.dims}: there is no 'dims' in it"),
        ('"${steps.good.output}"}\n', '"${steps.good.output"}\n', "f.yaml:19:12: steps[2].with.texts: '${steps.good.output' has no end"),
        ("default: 3", "default: x", "f.yaml:4:25: inputs.most.default: the default is a text; give an integer"),
        ("most: {type", "model: {type", "f.yaml:4:3: inputs.model: 'model' is the name of an option"),
        ("on_error: skip", "on_error: default", "f.yaml:6:5: steps[0]: `default` and `on_error: default` go together"),
        ("type: integer", "type: int", "f.yaml:4:10: inputs.most.type: input should be"),
        ("use: embed", "used: embed", "f.yaml:17:5: steps[2].used: extra inputs are not permitted"),
        ('value: "${item}", ', "", "f.yaml:9:5: steps[0].when: says not one thing"),
    ],
)  # fmt: skip
def test_a_flaw_is_told_with_its_place(before: str, after: str, flaw: str) -> None:
    assert before in WHOLE
    assert any(line.startswith(flaw) for line in wrong(WHOLE.replace(before, after, 1))), wrong(
        WHOLE.replace(before, after, 1)
    )


def test_all_flaws_are_told_at_once() -> None:
    assert (
        len(wrong(WHOLE.replace("summarize", "sum").replace("inputs.texts", "inputs.x").replace("[each]", "[e]"))) == 3
    )


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("", "f.yaml:1:1: the file is empty"),
        (
            "name: x\nsteps: [\n",
            "f.yaml:3:1: this is not YAML: while parsing a flow node expected the node content, but found '<stream end>'",
        ),
        ("name: x\nname: y\n", "f.yaml:2:1: `name` stands twice; the first is in line 1"),
        ("name: x\nsteps: &a [*a]\n", "f.yaml:2:8: this is nested too deeply, or repeats itself without end"),
        ("name: 2025-13-45\n", "f.yaml:1:7: this is no plain value (tag:yaml.org,2002:timestamp)"),
        (
            "name: !!python/object:os.system x\n",
            "f.yaml:1:7: this is no plain value (tag:yaml.org,2002:python/object:os.system)",
        ),
        ("- 1\n", "f.yaml:1:1: input should be a valid dictionary or instance of Pipeline"),
        ("name: x\nsteps: []\n", "f.yaml:2:1: steps: tuple should have at least 1 item after validation, not 0"),
        (
            """\
            name: x
            steps:
            - {name: a, use: unique, with: {items: "${steps.c.output}"}}
            - {name: b, use: unique, with: {items: "${steps.a.output}"}}
            - {name: c, use: unique, with: {items: "${steps.b.output}"}}
            """,
            "f.yaml:3:3: steps[0]: steps wait for each other in a ring: a → c → b → a",
        ),
        (
            "name: x\nsteps:\n- {name: a, use: unique, after: [a], with: {items: []}}",
            "f.yaml:3:3: steps[0]: steps wait for each other in a ring: a → a",
        ),
    ],
)
def test_what_is_no_definition_is_told(text: str, flaw: str) -> None:
    assert wrong(text)[0].startswith(flaw)


def test_the_shipped_ones_are_in_order_and_a_folder_adds_to_them(tmp_path: Path) -> None:
    (tmp_path / "whole.yaml").write_text(WHOLE)
    (tmp_path / "notes.txt").write_text("no pipeline")
    assert defining.load(tmp_path).pipelines.keys() - defining.load().pipelines.keys() == {"whole"}


def test_a_name_stands_for_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(WHOLE.replace("name: whole", "name: digest"))
    with pytest.raises(BadPipeline, match=r"the pipeline 'digest' is in shipped digest.yaml already"):
        defining.load(tmp_path)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "house_pipelines", raising=False)
    return tmp_path / "house_pipelines.py"


_HEAD = "from schemas.pipelines import Declared, Pipeline, Step\n"


def test_python_modules_bring_functions_and_pipelines(module: Path) -> None:
    module.write_text(
        _HEAD + "def shout(text: str) -> str:\n    return text.upper()\n"
        "FUNCTIONS = {'shout': shout}\n"
        "PIPELINES = [Pipeline(name='loud', inputs={'text': Declared()}, "
        "steps=[Step(name='a', use='shout', with_={'text': '${inputs.text}'})])]\n"
    )
    found = defining.load(modules=["house_pipelines"])
    made = Pipeline(
        name="loud",
        inputs={"text": Declared()},
        steps=(Step(name="a", use="shout", with_={"text": "${inputs.text}"}),),
    )
    assert (found.pipelines["loud"], "shout" in found.functions) == (made, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_of_that_name", "cannot be imported"),
        ("FUNCTIONS = {'embed': len}", "there is a 'embed' already"),
        ("FUNCTIONS = {'x': 1}", "is neither a function nor"),
        ("FUNCTIONS = {'x': lambda *a: a}", "has no name of its own"),
        ("PIPELINES = [1]", r"PIPELINES\[0\] is no `schemas.pipelines.Pipeline`"),
        (
            _HEAD + "PIPELINES = [Pipeline(name='a', steps=[Step(name='a', use='nope')])]",
            r"PIPELINES\[0\]: steps\[0\].use",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_named(module: Path, text: str, words: str) -> None:
    module.write_text(text)
    with pytest.raises(BadPipeline, match=words):
        defining.load(modules=["house_pipelines"])
