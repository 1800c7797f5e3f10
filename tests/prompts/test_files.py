"""A prompt file that is not what it should be is refused with the file's and the field's name."""

import pytest

from prompts import BadPromptFile
from prompts.files import read

pytestmark = pytest.mark.fast

VERSION = "versions: [{version: 1, user: 'Hi {{ name }}', notes: first}]"
NAME = "variables: [{name: name, type: text}]"

BROKEN = [
    ("{", "a.yaml: not YAML"),
    ("- 1", "a.yaml: Input should be a valid dictionary"),
    (f"slug: b\n{NAME}\n{VERSION}", "a.yaml: slug: is 'b'; name the file b.yaml"),
    (f"slug: A!\n{NAME}\n{VERSION}", "a.yaml: slug: String should match pattern"),
    (f"slug: a\n{VERSION}", "versions.0.user: uses 'name', which `variables` does not declare"),
    (f"slug: a\n{NAME}\nversions: []", "versions: Tuple should have at least 1 item"),
    (f"slug: a\nvariables: [{{name: name, type: colour}}]\n{VERSION}", "variables.0.type: Input should be 'content'"),
    (
        f"slug: a\nvariables: [{{name: name, type: text, default: 1}}]\n{VERSION}",
        "variables.0: the variable 'name' cannot have the default 1: it is text, not int",
    ),
    (f"slug: a\nvariables: [{{name: name, type: text}}, {{name: name, type: json}}]\n{VERSION}", "stands there twice"),
    (f"slug: a\n{NAME}\nversions: [{{version: 1, user: '{{% if %}}', notes: x}}]", "versions.0.user: not a template"),
    (f"slug: a\n{NAME}\nversions: [{{version: 1, user: x}}]", "versions.0.notes: Field required"),
    (
        f"slug: a\n{NAME}\nversions: [{{version: 1, user: x, notes: x, output_schema: {{type: nope}}}}]",
        "versions.0.output_schema: is not a JSON Schema",
    ),
    (f"slug: a\n{NAME}\nauthor: me\n{VERSION}", "author: Extra inputs are not permitted"),
    (
        f"slug: a\n{NAME}\nversions: [{{version: 2, user: x, notes: x}}, {{version: 1, user: y, notes: y}}]",
        "versions: the numbers [2, 1] do not grow",
    ),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_a_broken_file_names_itself_and_the_field(text, said):
    with pytest.raises(BadPromptFile) as caught:
        read("a.yaml", text)
    assert said in str(caught.value)
