from pathlib import Path

import pytest

from tests.docs.pages import Command, File, printed, steps

pytestmark = pytest.mark.fast

PAGE = """Do this:

```sh
one
two
```

Then it says:

```text
first …

…
last
```

```sh no-run
never
```

Write `some.jsonl`:

```json
{"a": 1}
```

```json
{"only": "shown"}
```

```sh
three
```

```text example
may look so
```
"""


def test_a_page_is_read_into_commands_with_their_output_and_files(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert list(steps(page)) == [
        Command(3, "one\ntwo\n", ["first …", "last"]),
        File("some.jsonl", '{"a": 1}\n'),
        Command(31, "three\n", []),
    ]


@pytest.mark.parametrize(
    ("line", "output", "found"),
    [
        ("2 succeeded, 0 did not.", "Sent 2 records.\n2 succeeded, 0 did not.\n", True),
        ("2 succeeded, 0 did not.", "12 succeeded, 0 did not.\n", False),  # a whole line, not a part of one
        ("started in … s (pid …).", "started in 6.4 s (pid 17).", True),
        ("started in … s (pid …).", "started in 6.4 s", False),
        ("succeeded extract   news-1 …", "succeeded extract   news-1          Maria Okonjo (person)", True),  # columns
        ("a … c", "a b\nc", False),  # never over the end of a line
        ('{"a":1, … }', '{"a":1,"b":[2]}', True),
    ],
)
def test_an_expected_line_is_looked_for(line: str, output: str, found: bool) -> None:
    assert printed(line, output) is found
