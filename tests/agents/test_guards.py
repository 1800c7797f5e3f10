"""Guards: what is masked never reaches a model and comes back whole, what is refused never passes, and each verdict is told."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import OPERATIONS
from agents.base import InvalidInput, Operation
from agents.guards import guarded
from agents.guards.caller import RefusedAnswer
from agents.guards.finding import EMAIL, KINDS
from agents.guards.rules import rule
from agents.guards.vault import Vault
from providers.calls import ChatAnswer, Spent, ToolCall
from schemas.errors import ErrorType
from tests.agents.doubles import ScriptedCaller

pytestmark = pytest.mark.fast

MAIL, CARD, IBAN, PHONE = (
    "ann.lee+x@example.org",
    "4111 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "+44 20 7946 0958",
)
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJlIQ"
KEY = "sk-abcdEFGH12345678ijkl"

FOUND = [  # what a rule names, what it finds, what looks like it and is not
    ("email", [MAIL, "a@b.co"], ["a@b", "@example.org", "ann at example.org"]),
    ("card", [CARD, "4111111111111111", "5500-0000-0000-0004"], ["4111 1111 1111 1112", "1234567890123", "411111111111111"]),
    ("iban", [IBAN, "GB82WEST12345698765432"], ["DE89 3704 0044 0532 0130 01", "AB12 CDEF 3456"]),
    ("phone", [PHONE, "+1 (212) 555-0123", "+4930123456"], ["2024-11-21", "+12", "20 7946 0958"]),
    ("secrets", [KEY, "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18, JWT], ["sk-short", "AKIA1", "ask-abcdEFGH12345678ijkl"]),
]  # fmt: skip


@pytest.mark.parametrize(("what", "these", "not_these"), FOUND, ids=[row[0] for row in FOUND])
def test_what_is_found_and_what_is_not(what: str, these: list[str], not_these: list[str]) -> None:
    for text in these:
        assert [value for kind in KINDS[what] for value in kind.find(f"It is {text}, they say.")] == [text]
    for text in not_these:
        assert [value for kind in KINDS[what] for value in kind.find(f"It is {text}, they say.")] == []


VALUES = st.one_of(
    st.sampled_from([MAIL, "b@c.org", CARD, IBAN, PHONE, "[EMAIL_1]", "[CARD_12]", " and ", "\n"]), st.text(max_size=8)
)


@given(st.lists(VALUES, max_size=8))
def test_what_was_masked_comes_back_as_it_was(pieces: list[str]) -> None:
    """Also in a text that holds words like our placeholders."""
    text, vault = " ".join(pieces), Vault()
    vault.avoid(text)
    masked = text
    for kind in KINDS["pii"]:
        masked, _ = vault.mask(masked, kind)
    assert vault.restore(masked) == text
    assert not EMAIL.find(masked)


@given(st.text(min_size=1, max_size=20))
def test_inside_of_json_a_value_is_written_as_a_string_needs_it(value: str) -> None:
    vault = Vault()
    vault._values["[HIDDEN_1]"] = value  # what no pattern of ours finds, one of an operator's may
    try:
        orjson.dumps(value)
    except TypeError:  # half a surrogate pair is in no text that comes as JSON
        return
    assert orjson.loads(vault.restore('{"x": "a [HIDDEN_1] b"}', is_json=True)) == {"x": f"a {value} b"}


class Counts(list[tuple[str, ...]]):
    def __call__(self, *verdict: str) -> None:
        self.append(verdict)


def _with(*words: str, name: str = "complete", counted: Counts | None = None) -> Operation:
    return guarded(OPERATIONS, {name: list(words)}, counted if counted is not None else Counts())[name]


async def _asked(operation: Operation, caller: ScriptedCaller, **given: Any) -> Any:
    return await operation.run(operation.input.model_validate(given), caller)


async def test_a_model_reads_placeholders_and_the_caller_gets_his_own_values_back() -> None:
    counts = Counts()
    caller = ScriptedCaller(["Write to [EMAIL_1] and [EMAIL_2], not to [EMAIL_1]; [EMAIL_9] is none of ours."])
    told = await _asked(
        _with("pii:mask", counted=counts),
        caller,
        messages=[
            {"role": "system", "content": f"You are the secretary of {MAIL}."},
            {"role": "user", "content": [{"type": "text", "text": f"Who are {MAIL} and b@c.org? Call {PHONE}."}]},
        ],
    )
    sent = caller.chats[0].messages
    assert [message.content for message in sent] == [
        "You are the secretary of [EMAIL_1].",
        "Who are [EMAIL_1] and [EMAIL_2]? Call [PHONE_1].",
    ]
    assert told.content == f"Write to {MAIL} and b@c.org, not to {MAIL}; [EMAIL_9] is none of ours."
    assert caller.warnings == ["guard `pii`, before a call: found something, masked before the model read it"]
    assert set(counts) == {("pii", "before", "mask")}


async def test_tool_calls_get_the_values_and_send_placeholders() -> None:
    asked = ToolCall("call_1", "mail", '{"to":"[EMAIL_1]"}')
    caller = ScriptedCaller([ChatAnswer("", "tool_calls", Spent(), tool_calls=(asked,)), "Sent to [EMAIL_1]."])
    operation = _with("email:mask")
    tools = [{"type": "function", "function": {"name": "mail"}}]
    turns: list[dict[str, Any]] = [{"role": "user", "content": f"Write to {MAIL}."}]
    first = await _asked(operation, caller, messages=turns, tools=tools)
    called = first.tool_calls[0]
    assert orjson.loads(called["function"]["arguments"]) == {"to": MAIL}
    turns += [
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": f"{MAIL}: ok"},
    ]
    second = await _asked(operation, caller, messages=turns, tools=tools)
    assert MAIL not in str(caller.chats[1].messages)
    assert second.content == f"Sent to {MAIL}."


async def test_an_extracted_value_stands_where_it_really_is() -> None:
    """The operation checks the answer against the text: it sees the caller's own values in both."""
    content = f"Ann Lee wrote from {MAIL} today."
    caller = ScriptedCaller([{"entities": [{"text": "[EMAIL_1]", "type": "email"}]}])
    told = await _asked(_with("email:mask", name="extract"), caller, content=content, entity_types=["email"])
    (entity,) = told.entities
    assert content[entity.start : entity.end] == entity.text == MAIL
    assert MAIL not in str(caller.chats[0].messages)


async def test_texts_are_masked_before_they_are_embedded() -> None:
    caller = ScriptedCaller()
    await _asked(_with("email:mask", name="embed"), caller, texts=["plain", f"from {MAIL}"])
    assert caller.embeds == [("plain", "from [EMAIL_1]")]


async def test_an_input_that_is_refused_reaches_no_model_and_is_not_quoted() -> None:
    counts = Counts()
    caller = ScriptedCaller(["never"])
    with pytest.raises(InvalidInput) as refusal:
        await _asked(_with("secrets:refuse", counted=counts), caller, prompt=f"Is {KEY} a good key?")
    assert caller.chats == []
    assert KEY not in refusal.value.failure.message
    assert (refusal.value.failure.type, refusal.value.failure.details) == (
        ErrorType.INVALID_REQUEST,
        {"guard": "secrets", "when": "before"},
    )
    assert counts == [("secrets", "before", "refuse")]


async def test_an_answer_that_is_refused_is_not_given() -> None:
    caller = ScriptedCaller([f"It is {KEY}."])
    with pytest.raises(RefusedAnswer) as refusal:
        await _asked(_with("secrets:refuse:both"), caller, prompt="What is the key?")
    assert (refusal.value.failure.type, refusal.value.failure.details) == (
        ErrorType.REFUSED,
        {"guard": "secrets", "when": "after"},
    )
    assert KEY not in refusal.value.failure.message


async def test_a_rule_of_ones_own_reports_and_changes_nothing() -> None:
    counts = Counts()
    caller = ScriptedCaller(["About project FALCON: no."])
    operation = _with(r"/\bproject: ?[A-Z]+|FALCON/:report:both", counted=counts)
    told = await _asked(operation, caller, prompt="What is project:FALCON?")
    assert told.content == "About project FALCON: no."
    assert caller.chats[0].messages[0].content == "What is project:FALCON?"
    assert [verdict[1:] for verdict in counts] == [("before", "report"), ("after", "report")]
    assert len(caller.warnings) == 2


class ReadAlong(ScriptedCaller):
    """With somebody who reads along."""

    reads: Any = print


async def test_nobody_reads_along_what_is_not_judged_yet() -> None:
    caller = ReadAlong(["hello"])
    await _asked(_with("email:mask"), caller, prompt="hi")
    assert caller.reads is None


async def test_an_operation_without_a_rule_runs_as_it_would_without() -> None:
    made = guarded(OPERATIONS, {"complete": ["pii:mask"]}, Counts())
    caller = ScriptedCaller()
    await _asked(made["embed"], caller, texts=[MAIL])
    assert caller.embeds == [(MAIL,)]
    assert {name for name, each in made.items() if not each.early} == {"complete"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("pii", "what is to be done is one of mask, refuse, report"),
        ("pii:hide", "what is to be done"),
        ("pii:mask:after", "an answer is refused or reported"),
        ("pii:refuse:later", "when is one of before, after, both"),
        ("names:mask", "there are email, card, iban, phone, pii, secrets"),
        ("/[/:mask", "is no regular expression"),
        ("/a*/:mask", "fits everywhere"),
        ("//:mask", "looks for nothing that is known"),
        ("", "what is to be done"),
    ],
)
def test_a_rule_that_is_none_is_named_with_what_to_write(words: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rule(words)


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="there is no operation sumarize; there are summarize"):
        guarded(OPERATIONS, {"sumarize": ["pii:mask"]}, Counts())
