"""A variable's default and choices are values that it may have."""

import pytest
from pydantic import ValidationError

from prompts.variables import Variable

pytestmark = pytest.mark.fast

REFUSED = [
    ({"type": "integer", "default": "x"}, "'n' cannot have the default 'x': it is integer, not str"),
    ({"type": "number", "default": True}, "'n' cannot have the default True: it is number, not bool"),
    ({"type": "texts", "default": ["a", 1]}, "'n' cannot have the default ['a', 1]: it is texts, not list"),
    ({"type": "integer", "default": 50, "most": 5}, "'n' cannot have the default 50: it is above 5"),
    (
        {"type": "text", "default": "ab", "least": 3},
        "'n' cannot have the default 'ab': it has 2 characters, fewer than",
    ),
    ({"type": "text", "default": "c", "choices": ["a", "b"]}, "the default 'c': it is none of 'a', 'b'"),
    ({"type": "integer", "choices": [1, "y"]}, "'n' cannot have the choice 'y': it is integer, not str"),
    ({"type": "integer", "choices": [1, 9], "most": 5}, "'n' cannot have the choice 9: it is above 5"),
    ({"type": "integer", "least": 9, "most": 1}, "'n' cannot be at least 9 and at most 1"),
]


@pytest.mark.parametrize(("told", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_no_request_could_use_is_refused_by_name_and_reason(told, words):
    with pytest.raises(ValidationError) as caught:
        Variable.model_validate({"name": "n", **told})
    assert words in str(caught.value)


TAKEN = [
    {"type": "text", "default": None, "choices": ["a"], "least": 1},  # optional: no value at all
    {"type": "integer", "default": 5, "choices": [1, 5], "least": 1, "most": 5},
    {"type": "number", "default": 1, "least": 1, "most": 1},
    {"type": "texts", "default": [], "most": 0},
    {"type": "boolean", "default": False, "least": 1},  # neither a number nor a length
]


@pytest.mark.parametrize("told", TAKEN, ids=str)
def test_a_default_within_the_bounds_is_taken(told):
    assert Variable.model_validate({"name": "n", **told}).default == told["default"]
