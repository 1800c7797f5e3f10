"""The prompt language is bounded in time and size, whatever the template says."""

import time

import pytest

from prompts import BadTemplate, TooMuch, sandbox

pytestmark = pytest.mark.fast

BIG = {"x": "abc" * 300_000, "names": ["a", "b"], "pairs": {"k": "v"}}

HOSTILE = [
    ("{{ 10**20000000 > 1 }}", BadTemplate),
    ("{{ 'a'.center(10**9) }}", BadTemplate),
    ("{{ 'a'.center(1000000000) }}", BadTemplate),
    ("{{ 'a' | center(1000000000) }}", BadTemplate),
    ("{{ 'a' * 1000000000 }}", BadTemplate),
    ("{{ '%999999999d' % 1 }}", BadTemplate),
    ("{{ '{:>999999999}'.format(1) }}", BadTemplate),
    ("{{ x.replace('a', x) }}", BadTemplate),
    ("{{ x | replace('a', x) }}", BadTemplate),
    ("{{ x | indent(100000) }}", BadTemplate),
    ("{{ x | wordwrap(1) }}", BadTemplate),
    ("{{ 999999999999 * 999999999999 }}", TooMuch),
    ("{{ range(1000000000) | length }}", TooMuch),
    ("{% for a in range(1000) %}" * 3 + "x" + "{% endfor %}" * 3, TooMuch),  # 10^9 turns
    ("{% for c in x %}{% endfor %}", TooMuch),  # 900,000 turns that print nothing
    ("{% for x in [[x, x]] %}" * 15 + "{{ x }}" + "{% endfor %}" * 15, BadTemplate),  # 2^15 texts in one value
    ("{% set x = x ~ x %}", BadTemplate),
    ("{% macro m() %}{{ m() }}{% endmacro %}", BadTemplate),
    ("{% include 'other' %}", BadTemplate),
    ("{{ x }}" * 20, TooMuch),  # 18 million characters of output
    ("{{ (x ~ x ~ x ~ x ~ x) | length }}" * 20, TooMuch),  # 90 million characters of work, little output
    (
        "{% for a in range(10000) %}{{ (range(10000)|join(''))|length }}{% endfor %}",
        TooMuch,
    ),  # few characters, slow ones
    ("{{ range(10000)|join(' ') }}" * 400, TooMuch),
    ("{{ self }}", BadTemplate),
    ("{{ x.__class__.__mro__ }}", BadTemplate),
    ("{{ x['__class__'] }}", BadTemplate),
    ("{{ names.append(1) }}", BadTemplate),
    ("{{ lipsum(1000000) }}", BadTemplate),
    ("{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}", BadTemplate),
    ("{% if x %}" * 3_000, BadTemplate),
    ("{{ " + "9" * 20_000 + " }}", BadTemplate),
    ("{{ 1 / 0 }}", BadTemplate),
    ("{{ nothing }}", BadTemplate),
    ("{{ unclosed", BadTemplate),
    ("x" * 32_001, TooMuch),
]


@pytest.mark.parametrize(("template", "error"), HOSTILE, ids=[source[:40] for source, _ in HOSTILE])
def test_a_hostile_template_fails_at_once_with_a_typed_error(template, error):
    started = time.process_time()
    with pytest.raises(error):
        sandbox.run(template, BIG)
    assert time.process_time() - started < 0.5


HARMLESS = [
    ("{{ names | join(', ') }}", "a, b"),
    ("{{ 'a' ~ 1 ~ names | first }}", "a1a"),
    ("{% for name in names %}{{ loop.index }}{{ name }}{% if not loop.last %};{% endif %}{% endfor %}", "1a;2b"),
    ("{% for key, value in pairs.items() %}{{ key }}={{ value }}{% endfor %}", "k=v"),
    ("{{ 2 * 3 + 7 % 2 }}", "7"),
    ("{{ 'yes' if names | length > 1 and 'a' in names else 'no' }}", "yes"),
    ("{{ pairs | tojson }}", '{"k":"v"}'),
    ("{{ names[0].upper() }}{{ pairs.k }}", "Av"),
    ("{% for i in range(3) %}{{ i }}{% endfor %}", "012"),
    ("{{ missing | default('none') }}", "none"),
]


@pytest.mark.parametrize(("template", "text"), HARMLESS, ids=[source[:40] for source, _ in HARMLESS])
def test_what_a_prompt_needs_is_in_the_language(template, text):
    assert sandbox.run(template, BIG) == text


def test_a_variable_is_never_parsed_as_a_template():
    assert sandbox.run("{{ x }}", {"x": "{{ 1 + 1 }}{% if %}"}) == "{{ 1 + 1 }}{% if %}"
