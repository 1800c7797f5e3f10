"""execute_prompt runs the wording that was there when the request was accepted, or says that it is not there any more."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from agents.base import InvalidInput, NotHere, Whose
from agents.execute_prompt import MAX_TOKENS, execute_prompt, pin
from prompts import Library, Pin, Rendered
from providers.calls import Message
from schemas.errors import ErrorType
from schemas.execute_prompt import Input, Output, Used
from tests.agents.doubles import ScriptedCaller, cut

pytestmark = pytest.mark.fast

ONE = "{version: 1, system: Be brief., user: 'Greet {{ name }}.', notes: first}"
TWO = "{version: 2, user: 'Greet {{ name }} in {{ city }}.', notes: second}"
AGE = "{type: object, properties: {age: {type: integer}}, required: [age]}"
FORM = f"{{version: 3, user: 'Age of {{{{ name }}}}?', notes: third, output_schema: {AGE}}}"


def library(folder: Path, *versions: str, more: str = "") -> Library:
    variables = f"[{{name: name, type: text}}, {{name: city, type: text}}{more}]"
    (folder / "greet.yaml").write_text(
        f"slug: greet\nvariables: {variables}\nversions: [{', '.join(versions)}]", encoding="utf-8"
    )
    (folder / "repair.yaml").write_text(
        "slug: repair\nvariables: [{name: problem, type: text}]\n"
        "versions: [{version: 1, user: 'Again: {{ problem }}', notes: n}]",
        encoding="utf-8",
    )
    return Library.load(folder)


def accepted(asked: Input, then: Library, *answers: object) -> ScriptedCaller:
    return ScriptedCaller(answers, library=then, pinned=pin(asked, then, Whose()))


async def test_the_newest_version_is_rendered_and_named_in_the_answer(tmp_path: Path) -> None:
    asked = Input(prompt="greet", variables={"name": "Al", "city": "Rome"})
    caller = accepted(asked, library(tmp_path, ONE, TWO), "Ciao")
    used = Used(id="library/greet", slug="greet", version=2)
    assert await execute_prompt(asked, caller) == Output(content="Ciao", parsed=None, prompt=used)
    call = caller.chats[0]
    assert (call.messages, call.prompt, call.schema, call.max_tokens) == (
        (Message("user", "Greet Al in Rome."),),
        Rendered("greet", 2, None, "Greet Al in Rome."),
        None,
        MAX_TOKENS,
    )


async def test_a_version_that_comes_while_the_request_waits_is_not_run(tmp_path: Path) -> None:
    asked = Input(prompt="greet", variables={"name": "Al"})
    caller = accepted(asked, library(tmp_path, ONE), "Hi")
    caller.library = library(tmp_path, ONE, TWO, more=", {name: year, type: integer}")
    answer = await execute_prompt(asked, caller)
    assert (answer.prompt.version, caller.chats[0].messages) == (
        1,
        (Message("system", "Be brief."), Message("user", "Greet Al.")),
    )


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ([TWO], "the prompt 'greet' has no version 1; it has 2"),
        ([ONE.replace("Greet", "Insult"), TWO], "version 1 of the prompt 'greet' says something else here"),
    ],
    ids=["taken away", "edited in place"],
)
async def test_a_pinned_wording_that_is_not_here_ends_clearly_and_calls_nothing(
    tmp_path: Path, later: list[str], said: str
) -> None:
    asked = Input(prompt="greet", variables={"name": "Al"})
    caller = accepted(asked, library(tmp_path, ONE), "Hi")
    caller.library = library(tmp_path, *later)
    with pytest.raises(NotHere) as caught:
        await execute_prompt(asked, caller)
    failure = caught.value.failure
    assert (failure.type, failure.details, caller.chats) == (
        ErrorType.INTERNAL,
        {"prompt": "greet", "version": 1},
        [],
    )
    assert said in failure.message and "accepted with version 1" in failure.message


async def test_an_answer_of_the_prompts_form_is_parsed_and_repaired_once(tmp_path: Path) -> None:
    asked = Input(prompt="library/greet", version=3, variables={"name": "Al"})
    caller = accepted(asked, library(tmp_path, ONE, FORM), '{"age": "old"}', '{"age": 7}')
    answer = await execute_prompt(asked, caller)
    assert (answer.content, answer.parsed, len(caller.chats)) == ('{"age": 7}', {"age": 7}, 2)
    assert [call.prompt.slug for call in caller.chats if call.prompt] == ["greet", "repair"]


async def test_a_text_that_was_cut_off_is_said(tmp_path: Path) -> None:
    asked = Input(prompt="greet", variables={"name": "Al"})
    caller = accepted(asked, library(tmp_path, ONE), cut("Hello A"))
    assert (await execute_prompt(asked, caller)).content == "Hello A"
    assert caller.warnings == ["the answer was cut off at max_tokens"]


REFUSED = [
    ({"prompt": "gret"}, "there is no prompt 'gret'; there are greet, repair (did you mean 'greet'?)"),
    ({"prompt": "greet", "version": 5}, "the prompt 'greet' has no version 5; it has 1, 2"),
    ({"prompt": "greet", "version": 1}, "the prompt 'greet' needs the variable 'name' (text)"),
    ({"prompt": "greet", "version": 1, "variables": {"name": 3}}, "'name' of the prompt 'greet' is text, not int"),
    (
        {"prompt": "greet", "variables": {"name": "A", "citty": "B"}},
        "has no variable 'citty'; it has name, city (did you mean 'city'?)",
    ),
    (
        {"prompt": "greet", "version": 1, "variables": {"name": "A", "city": "B"}},
        "the prompt 'greet' has no variable 'city'; it has name",
    ),
]


@pytest.mark.parametrize(("given", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_cannot_be_run_is_refused_at_acceptance(tmp_path: Path, given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        pin(Input.model_validate(given), library(tmp_path, ONE, TWO), Whose())
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("given", "field"),
    [({"label": "A b"}, "label"), ({"version": "1"}, "version"), ({"version": 0}, "version")],
)
def test_a_label_or_a_version_that_is_none_is_not_ignored(given: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Input.model_validate({"prompt": "greet"} | given)
    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


@pytest.mark.parametrize(
    ("template", "name", "said"),
    [("{{ 1 / (name | length) }}", "", "divides by zero"), ("{% if name %}x{% endif %}", "", "is blank")],
)
async def test_variables_that_break_the_template_are_the_requests_fault(
    tmp_path: Path, template: str, name: str, said: str
) -> None:
    asked = Input(prompt="greet", variables={"name": name})
    caller = accepted(asked, library(tmp_path, f"{{version: 1, user: '{template}', notes: n}}"))
    with pytest.raises(InvalidInput, match=said):
        await execute_prompt(asked, caller)
    assert caller.chats == []


def test_a_pin_is_read_as_it_was_written() -> None:
    made = Pin("greet", 12, "ab")
    assert (Pin.read(str(made)), str(made)) == (made, "greet 12 ab")
