"""The table of contents of `providers/`."""

import pytest

from providers import PROVIDERS, Config

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("name", PROVIDERS)
async def test_every_provider_is_made_from_the_default_settings_and_bears_its_name(name: str) -> None:
    """Without touching the network or loading a model."""
    provider = PROVIDERS[name](Config())
    node = provider.nodes()[0]
    assert (provider.name, provider.slots(node, provider.default_model("chat")) >= 1) == (name, True)
    await provider.aclose()


async def test_the_double_is_in_this_process_or_at_an_address() -> None:
    here = PROVIDERS["fake"](Config(fake_paid=False))
    there = PROVIDERS["fake"](Config(fake_url="http://127.0.0.1:9", fake_slots=64))
    assert (here.nodes(), here.traits.paid) == (("in-process",), False)
    assert (there.nodes(), there.name, there.traits.paid, there.slots("", "")) == (
        ("http://127.0.0.1:9",),
        "fake",
        True,
        64,
    )
    await here.aclose()
    await there.aclose()


def test_each_provider_has_its_column_in_the_contract() -> None:
    from tests.providers.columns import NAMES

    assert set(PROVIDERS) - NAMES == set()
