"""What is read of each format, and what is said of a document that cannot be. PDF and HTML go through the real child process."""

import os

import pytest

from agents.retrieval import markdown, sniffing
from agents.retrieval.document import Document, Piece, Section, joined
from agents.retrieval.errors import Broken, Encrypted, TookTooMuch, TooLarge, UnknownFormat, Unreadable, WithoutText
from agents.retrieval.extractor import html
from agents.retrieval.reading import Bounds, Given, from_base64, read
from tests.parts.pdf import pdf

REPORT = (
    "Annual report 2025\nRevenue rose to 4.2 billion dollars.",
    "Risks\nThe company depends on (few) sup-\npliers. Café.",
    "",
)
MORE = ("Costs fell in the third quarter.", "The outlook is stable.")


async def test_two_pdfs_are_read_page_by_page_in_one_go() -> None:
    report, more = await read([Given("10k_2025.pdf", pdf(REPORT)), Given("10q_q3", pdf(MORE))])
    assert report == Document(
        "10k_2025.pdf",
        "application/pdf",
        "Annual report 2025\nRevenue rose to 4.2 billion dollars.\n\nRisks\nThe company depends on (few) suppliers. Café.",
        (Section(0, 55, 1), Section(57, 108, 2)),
        ("no text was found on page 3 of '10k_2025.pdf'; pictures are not read",),
    )
    assert [more.text[each.start : each.end] for each in more.sections] == list(MORE)


async def test_a_pdf_that_only_forbids_changes_is_read() -> None:
    (found,) = await read([Given("a.pdf", pdf(["Open to all."], password=""))])
    assert found.text == "Open to all."


WHOLE = pdf(REPORT)
UNREADABLE: list[tuple[str, Given, Bounds, type[Unreadable], str]] = [
    ("locked", Given("d", pdf(REPORT, password="s3cret")), Bounds(), Encrypted, "asks for a password; remove it"),
    ("half", Given("d", WHOLE[:300]), Bounds(), Broken, "is a broken PDF (Failed to load document (PDFium: Data format"),
    ("scanned", Given("d", pdf(["", ""], squares=True)), Bounds(), WithoutText, "has 2 pages and no text on them"),
    ("many pages", Given("d", WHOLE), Bounds(pages=2), TooLarge, "has 3 pages, 2 are the most (GENAI_DOCUMENT_MAX_PAGES)"),
    ("long", Given("d", WHOLE), Bounds(characters=60), TooLarge, "holds more than 60 characters (GENAI_DOCUMENT_MAX_CH"),
    ("slow", Given("d", WHOLE), Bounds(seconds=0.001), TookTooMuch, "was not read within 0.001 s (GENAI_DOCUMENT_TIME"),
    ("no scripts", Given("d.html", "<script>render()</script>"), Bounds(), WithoutText, "shows no text; send the page"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "bounds", "error", "words"), [row[1:] for row in UNREADABLE], ids=[r[0] for r in UNREADABLE]
)
async def test_what_cannot_be_read_is_told(given: Given, bounds: Bounds, error: type[Unreadable], words: str) -> None:
    with pytest.raises(error) as told:
        await read([Given("good", "Some text."), given], bounds)
    assert str(told.value).startswith(f"the document {given.name!r} {words}")
    assert told.value.failure.type == "invalid_request"


async def test_a_document_that_eats_memory_ends_its_own_process_only() -> None:
    """Each of half a million paragraphs is an element of some hundred bytes."""
    with pytest.raises(TookTooMuch) as told:
        await read([Given("bomb.html", "<p>x" * 600_000)], Bounds(memory_mb=120))
    assert "GENAI_DOCUMENT_MEMORY_MB" in str(told.value)
    assert (await read([Given("next.html", "<p>Fine.")]))[0].text == "Fine."


async def test_the_reader_is_given_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONHOME would keep the child from starting, if it got it."""
    monkeypatch.setenv("PYTHONHOME", os.devnull)
    assert (await read([Given("a.html", "<p>Fine.")]))[0].text == "Fine."


HERE = [
    (Given("a", b"PK\x03\x04rest"), UnknownFormat, "is a ZIP archive, perhaps a Word"),
    (Given("a", b"a\0b"), UnknownFormat, "holds bytes that are no text"),
    (Given("a", b"x", "image/png"), UnknownFormat, "is said to be 'image/png'; text, Markdown, HTML and PDF are read"),
    (Given("a.pdf", "The name says it, the text does not."), Broken, "is said to be a PDF and is none"),
    (Given("a", " \n"), WithoutText, "is empty; send one with text in it"),
    (Given("a", "x" * 11), TooLarge, "has 0.0 MB, 0.0 MB are the most (GENAI_DOCUMENT_MAX_BYTES)"),
]  # fmt: skip


@pytest.mark.fast
@pytest.mark.parametrize(("given", "error", "words"), HERE, ids=[row[2][:20] for row in HERE])
async def test_what_is_no_document_is_refused_at_once(given: Given, error: type[Unreadable], words: str) -> None:
    bounds = Bounds(bytes=10) if error is TooLarge else Bounds()
    with pytest.raises(error) as told:
        await read([given], bounds)
    assert str(told.value).startswith(f"the document {given.name!r} {words}")


@pytest.mark.fast
def test_what_is_no_base64_is_refused() -> None:
    with pytest.raises(Broken):
        from_base64("a", "%%%")


SNIFFED = [
    (b"rubbish %PDF-1.7", None, "a.txt", sniffing.PDF),  # the bytes know best
    (b"text", "application/pdf", "a", sniffing.PDF),
    (b"<p>", "text/html; charset=utf-8", "a", sniffing.HTML),
    (b"a,b", "text/csv", "a", sniffing.TEXT),
    (b"x", "application/octet-stream", "notes.MD", sniffing.MARKDOWN),
    (b"x", "application/zip", "a.txt", None),
    (b"\xef\xbb\xbf <!-- x --> <!DOCTYPE html>", None, "a", sniffing.HTML),
    (b"a <html> in a text", None, "", sniffing.TEXT),
]


@pytest.mark.fast
@pytest.mark.parametrize(("data", "media_type", "name", "kind"), SNIFFED, ids=[str(row[:3]) for row in SNIFFED])
def test_the_format_is_known_by_bytes_type_and_name(data: bytes, media_type: str | None, name: str, kind: str) -> None:
    assert sniffing.sniff(data, media_type, name) == kind


DECODED = [
    ("Café".encode(), None, False, "Café"),
    ("Café".encode("latin-1"), None, False, "Café"),  # no UTF-8: Windows' Latin
    ("Café".encode("utf-16"), None, False, "Café"),
    ("日本".encode("shift-jis"), "text/html; charset=Shift_JIS", True, "日本"),
    ("<meta charset='koi8-r'>Да".encode("koi8-r"), None, True, "<meta charset='koi8-r'>Да"),
    ("Café".encode(), "text/plain; charset=rot13", False, "Café"),
]


@pytest.mark.fast
@pytest.mark.parametrize(("data", "media_type", "is_html", "text"), DECODED, ids=[str(row[:2]) for row in DECODED])
def test_the_encoding_is_the_one_that_is_said_and_right(
    data: bytes, media_type: str | None, is_html: bool, text: str
) -> None:
    assert sniffing.decode(data, media_type, html=is_html) == text


PAGE = """<html><head><title>Our  firm</title><style>p {color: red}</style></head><body>Before.
<h1>Big <b>news</b></h1><p>One
two.<script>alert(1)</script> <i>Three</i>four.</p><div>a<div>b</div></div>
<h2>Figures</h2><table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table><pre> x
   y</pre></body></html>"""


@pytest.mark.fast
def test_of_a_page_stays_what_a_reader_sees() -> None:
    assert html(PAGE.encode(), 0, 10_000)["pieces"] == [
        ("Before.", None, "Our firm"),
        ("Big news\n\nOne two. Threefour.\n\na\nb", None, "Big news"),
        ("Figures\n\n1 2\n3\n\n x\n   y", None, "Figures"),
    ]


MARKDOWN = """intro
# One #
```
# no heading
```
Two
===
text
> quoted
---
"""


@pytest.mark.fast
def test_markdown_stays_as_it_is_and_its_headings_begin_sections() -> None:
    found = markdown.read("a.md", MARKDOWN)
    assert found.text == MARKDOWN
    assert [(found.text[each.start : each.end], each.heading) for each in found.sections] == [
        ("intro\n", None),
        ("# One #\n```\n# no heading\n```\n", "One"),
        ("Two\n===\ntext\n> quoted\n---\n", "Two"),
    ]


@pytest.mark.fast
def test_a_document_knows_the_pages_of_a_part_of_it() -> None:
    found = joined("d", "application/pdf", [Piece("One.", 1), Piece("", 2), Piece("Two.", 3)])
    assert (found.text, found.pages(2, 8), found.pages(7, 9)) == ("One.\n\nTwo.", ((2, 1), (6, 3)), ((7, 3),))
