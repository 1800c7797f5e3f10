"""Where a request that needs a GPU may run."""

import pytest

from agents.engine import gpus

pytestmark = pytest.mark.fast

TABLE: list[tuple[dict[str, bool | None], set[str]]] = [
    ({"a": True, "b": False}, {"a"}),
    ({"a": True, "b": None}, {"a"}),  # known goes before unknown
    ({"a": False, "b": None}, {"b"}),  # it may have one: its first call will tell
    ({"a": False, "b": False}, set()),
]


@pytest.mark.parametrize(("nodes", "fitting"), TABLE)
def test_fitting_nodes(nodes: dict[str, bool | None], fitting: set[str]) -> None:
    assert gpus.fitting(nodes) == fitting
    assert (gpus.refusal("ollama", nodes) is None) == bool(fitting)


def test_a_refusal_names_the_nodes_and_says_what_to_do() -> None:
    said = gpus.refusal("ollama", {"http://cpu:11434": False})
    assert said is not None
    assert all(word in said for word in ("http://cpu:11434", "leave `resource` out", "GENAI_OLLAMA_GPU_NODES"))
