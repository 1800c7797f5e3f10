"""How calls fail, for every provider that can be made to: each error of the tree, whole, told of its tokens, and read along."""

from collections.abc import AsyncIterator, Callable

import pytest

from providers.calls import ChatCall, Delta
from providers.double.faults import FAULTS
from providers.errors import ProviderError, TimedOut, Unreachable
from tests.providers.columns import AT_DOUBLE, DOUBLES, Subject


@pytest.fixture(params=DOUBLES)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with request.param() as made:
        yield made


def _hears(call: dict[str, object], how: str, pieces: list[Delta]) -> dict[str, object]:
    match how:
        case "told":
            return call | {"on_tokens": lambda _: None}
        case "read along":
            return call | {"on_delta": pieces.append}
    return call


async def _fails(subject: Subject, call: ChatCall) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await subject.provider.chat(call, subject.node)
    shown = f"{caught.value} {caught.value.details} {caught.value!r} {caught.value.__cause__!r}"
    assert subject.secret not in shown
    assert str(caught.value)
    return caught.value


@pytest.mark.parametrize("how", ["whole", "told", "read along"])
@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"unreachable", "not_ollama"}))
async def test_every_error_of_the_tree_can_be_provoked(subject: Subject, name: str, how: str) -> None:
    """Before the first byte, after it, in the middle and at the end: what is not whole is never an answer."""
    pieces: list[Delta] = []
    wishes = _hears({"timeout_s": 0.5 if FAULTS[name].error is TimedOut else 20.0}, how, pieces)
    error = await _fails(subject, subject.call(f"[fake:{name}] hello to all the foxes out there", **wishes))  # type: ignore[arg-type]
    assert type(error) is FAULTS[name].error
    assert error.maybe_paid is FAULTS[name].executed


@pytest.mark.parametrize("name", ["not_ollama"])
async def test_an_address_that_is_something_else_is_no_model_server(subject: Subject, name: str) -> None:
    error = await _fails(subject, subject.call(f"[fake:{name}] hello"))
    assert type(error) is FAULTS[name].error


@pytest.mark.parametrize("name", ["rate_limited", "rate_limited_date"])
async def test_how_long_to_wait_is_told_in_seconds_either_way(subject: Subject, name: str) -> None:
    """An HTTP date has whole seconds: up to one is lost."""
    error = await _fails(subject, subject.call(f"[fake:{name}:30] hello"))
    assert error.retry_after_s is not None
    assert 28.5 <= error.retry_after_s <= 30


@pytest.mark.parametrize("fault", ["cut", "stalled"])
async def test_an_answer_that_breaks_off_has_told_its_first_pieces(subject: Subject, fault: str) -> None:
    told: list[Delta] = []
    call = subject.call(f"[fake:{fault}] one two three four five six seven eight", 0.5, on_delta=told.append)
    with pytest.raises(FAULTS[fault].error):
        await subject.provider.chat(call, subject.node)
    text = "".join(delta.text for delta in told)
    assert "one two three four five six seven eight".startswith(text.strip())
    assert text.startswith("one two three")


@pytest.mark.parametrize("reach", AT_DOUBLE.values(), ids=AT_DOUBLE)
async def test_nobody_there_is_unreachable_and_surely_not_paid(reach: Callable[[str], Subject]) -> None:
    subject = reach("http://127.0.0.1:9")
    error = await _fails(subject, subject.call("hello"))
    assert (type(error), error.maybe_paid) == (Unreachable, False)
    assert await subject.provider.models() == ()
    await subject.provider.aclose()
