"""The course as one PDF."""

import re
import subprocess
import sys

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from tools import pdf, web

NAMES = [path.stem for path in web.numbered()]


def test_titles_are_numbered_and_cells_keep_apart():
    whole, contents = pdf.bind(web.numbered()[:2])
    assert contents == {
        "00_start_here": "00 Start here",
        "01_find_where_rnns_forget": "01 Find where RNNs forget",
    }
    assert whole.cells[0].source.startswith("# 00 Start here\n\nA plain")
    assert len({cell.id for cell in whole.cells}) == len(whole.cells)


def test_links_lead_to_places_in_the_pdf():
    cell = new_markdown_cell("[a](05_train_on_dracula.ipynb), [b](solutions/05_train.ipynb)")
    pdf.for_paper(cell)
    assert cell.source == "[a](#cell-id=05_train_on_dracula-0), b"


def test_what_is_folded_is_open_on_paper_and_only_long_output_may_be_split():
    details = new_markdown_cell("<details><summary>A hint</summary>")
    pdf.for_paper(details)
    assert "<details open>" in details.source
    for lines, tags in ((5, []), (40, ["long"])):
        output = new_output("stream", name="stdout", text="line\n" * lines)
        cell = new_code_cell("x", outputs=[output])
        pdf.for_paper(cell)
        assert cell.metadata.get("tags", []) == tags


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Print the PDF in a process of its own, and read it."""
    import pypdf

    out = tmp_path_factory.mktemp("pdf") / "course.pdf"
    code = f"from pathlib import Path; from tools import pdf; pdf.main(Path({str(out)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=web.ROOT, check=True)
    return pypdf.PdfReader(out)


@pytest.mark.browser
def test_the_pdf_holds_the_course(printed):
    marks = [mark for mark in printed.outline if not isinstance(mark, list)]
    titles = list(pdf.bind(web.numbered())[1].values())
    assert [mark.title for mark in marks] == titles
    starts = [printed.get_destination_page_number(mark) for mark in marks]
    for start, title in zip(starts, titles, strict=True):
        lines = printed.pages[start].extract_text().split("\n")
        assert lines[:2] == [str(start + 1), title]  # the number of the page, and what begins it
    assert {
        (round(page.mediabox.width), round(page.mediabox.height)) for page in printed.pages
    } == {(595, 842)}
    first = printed.pages[0].extract_text()
    assert "CC BY 4.0" in first and "MIT" in first


@pytest.mark.browser
def test_links_figures_and_fonts_of_the_pdf(printed):
    links = [note.get_object() for page in printed.pages for note in page.get("/Annots", [])]
    outside = {link["/A"]["/URI"] for link in links if "/URI" in link.get("/A", {})}
    assert outside and all(address.startswith("https://") for address in outside)
    assert len(links) - len(outside) > 2 * len(NAMES)
    figures = sum(
        "data:image/png" in output.get("data", {}).get("text/html", "")
        for path in web.numbered()
        for cell in web.read(path).cells
        for output in cell.get("outputs", [])
    )
    objects = [page["/Resources"].get("/XObject", {}) for page in printed.pages]
    drawn = [each.get_object()["/Subtype"] for some in objects for each in some.values()]
    assert drawn.count("/Image") == figures
    for page in printed.pages:
        for font in page["/Resources"].get("/Font", {}).values():
            assert "+" in font.get_object()["/BaseFont"]  # a subset, embedded


@pytest.mark.browser
def test_no_formula_is_left_as_it_was_typed(printed):
    text = "\n".join(page.extract_text() for page in printed.pages)
    assert re.findall(r"\$\\[a-z]{2,}|\\frac|\\begin\{", text) == []
    assert "import numpy as np" in text  # the rest can be copied


@pytest.mark.browser
def test_nothing_is_wider_than_the_page(printed, browser):
    # Otherwise the browser would shrink everything, or cut it.
    page = browser.new_page(viewport={"width": 680, "height": 900})  # 180 mm
    page.emulate_media(media="print")
    page.goto((web.BUILD / "pdf" / "index.html").as_uri())
    page.evaluate("MathJax.startup.promise")
    wide = """() => [...document.querySelectorAll('body *')].filter(
      node => node.getBoundingClientRect().right > 681 && !node.closest('mjx-assistive-mml')
    ).map(node => node.outerHTML.slice(0, 99))"""
    assert page.evaluate(wide) == []
    page.evaluate("document.querySelector('p').style.width = '800px'")
    assert len(page.evaluate(wide)) > 0
    page.close()
