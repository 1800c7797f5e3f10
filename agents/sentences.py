"""Where sentences end, without a model: so that a summary is cut between two of them and never inside 'Acme Inc.'.

A full stop ends a sentence unless it belongs to an abbreviation, an initial, a number or a list's numbering. After an
abbreviation that may also be the last word ('… in the U.S. The deal …') it does when a word follows that usually begins
a sentence. When in doubt it does not end: a summary that keeps half a sentence too much is better than half a one.
"""

# ruff: noqa: RUF001, SIM905 - typographic marks are the subject here; word lists read best as prose
import re
from collections.abc import Iterator
from itertools import islice

_END = re.compile(r"""(?<![.!?…])[.!?…]++["'”’»)\]]*+(?=\s|$)|[。！？]++["'”’»」』）]*+|\n\s*\n""")
_SIGNS = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGNS}]|[^\s…\u3000-\u303f\uff01-\uff0f{_SIGNS}]+")
_NUMBERING = 40
"""Characters within which a list's number stands, the white space before it among them."""
_LAST_WORD = re.compile(r"(\S+)$")
_NEXT_WORD = re.compile(r"""\s*["'“‘«(\[]*(\w+)""")

_NEVER_LAST = frozenset(
    "mr mrs ms dr prof hon rev gen col capt lt sgt gov sen rep pres mt st vs no nos fig figs sec art vol pp ch approx "
    "est e.g i.e cf bzw nr z.b d.h u.a ca abs jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
_MAY_BE_LAST = frozenset(
    "inc corp ltd co cos llc plc bros s.a n.v a.g s.p.a jr sr u.s u.k u.n e.u u.s.a a.m p.m ph.d d.c etc al".split()
)
_STARTERS = frozenset(
    "the a an it its this that these those he she they we his her their our in on at for by after before while when "
    "however but and as meanwhile separately der die das ein eine".split()
)


def split(text: str) -> list[str]:
    """The sentences of `text`, stripped, in order; joined they hold everything but the white space between them."""
    sentences, start = [], 0
    for end in ends(text):
        sentences.append(text[start:end].strip())
        start = end
    sentences.append(text[start:].strip())
    return [sentence for sentence in sentences if sentence]


def ends(text: str) -> Iterator[int]:
    """The position behind each sentence but the last, in time that grows with the text and not with its square."""
    start = 0
    for match in _END.finditer(text):
        numbers = match.start() - start <= _NUMBERING and _numbers_a_list(text[start : match.start()])
        if not numbers and _ends(text, match):
            yield match.end()
            start = match.end()


def _ends(text: str, match: re.Match[str]) -> bool:
    mark = match.group().rstrip("\"'”’»)]")
    follows = _NEXT_WORD.match(text, match.end())
    if mark not in {".", "...", "…"} or follows is None:
        return True
    following = follows[1]
    if following[0].islower():
        return False
    before = _LAST_WORD.search(text[max(0, match.start() - 40) : match.start()])
    return mark != "." or before is None or _stop_ends(before[1].lstrip("\"'“‘«(["), following)


def _stop_ends(word: str, following: str) -> bool:
    """Whether the full stop after `word` ends a sentence when `following` comes next."""
    known = word.casefold()
    if known in _NEVER_LAST and not (known == "no" and not following[0].isdigit()):
        return False
    if known in _MAY_BE_LAST or re.fullmatch(r"(?:[A-Z]\.)+[A-Z]", word):
        return following.casefold() in _STARTERS and following[0].isupper()
    return not re.fullmatch(r"[A-Z]", word)


def _numbers_a_list(begun: str) -> bool:
    """Whether all that the sentence has so far is a number: '1. Costs fell.'."""
    return begun.strip().isdigit()


def cut(text: str, most: int) -> tuple[str, int]:
    """`text` without what follows its `most`-th sentence, and how many sentences were cut off."""
    sentences = split(text)
    if len(sentences) <= most:
        return text.strip(), 0
    end = 0
    for sentence in sentences[:most]:
        end = text.index(sentence, end) + len(sentence)
    return text[:end].strip(), len(sentences) - most


def finished(text: str, bound: int | None) -> str:
    """`text` without the half sentence, or the half word, at which a schema's `maxLength` of `bound` ended it."""
    text = text.strip()
    if bound is None or len(text) < bound or text[-1] in ".!?…。！？":
        return text
    *whole, _half = split(text)
    if whole:
        return cut(text, len(whole))[0]
    return text.rsplit(maxsplit=1)[0].rstrip(",;:") + "…"


def count_words(text: str) -> int:
    """What stands between blanks; in Chinese and Japanese, which have none, characters."""
    return sum(1 for _ in _WORD.finditer(text))


def cut_words(text: str, most: int) -> str:
    """The whole sentences of `text` that together have at most `most` words; when even the first has more, its beginning."""
    text, kept, words = text.strip(), 0, 0
    for end in (*ends(text), len(text)):
        words += count_words(text[kept:end])
        if words > most:
            break
        kept = end
    if kept:
        return text[:kept].strip()
    last = next(islice(_WORD.finditer(text), most - 1, None)).end()
    return text if last == len(text) else text[:last].rstrip(",;:") + "…"
