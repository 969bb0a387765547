"""Slides: what stands on which, nothing lost, nothing too high, nothing too small."""

import base64
import doctest
import io
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from tools import layout, slides, web

NOTEBOOKS = web.numbered()
# What the room must be able to read on a slide of 1280 x 720 pixels.
SMALLEST_PROSE, SMALLEST_CODE = 20, 14
MEASURE = """() => Reveal.getSlides().map(slide => {
  const at = Reveal.getIndices(slide);
  Reveal.slide(at.h, at.v, 99);  // every fragment is there
  const found = {at: `${at.h}/${at.v}`, right: 0, bottom: 0, prose: 99, code: 99, dollars: [],
                 images: [], errors: slide.querySelectorAll('[data-mml-node=merror]').length};
  const reach = box => {
    found.right = Math.max(found.right, box.right);
    found.bottom = Math.max(found.bottom, box.bottom);
  };
  const hidden = node => node.closest('aside, style, mjx-assistive-mml') ||
    (node.closest('details:not([open])') && !node.closest('summary'));
  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || hidden(parent)) continue;
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    [...range.getClientRects()].forEach(reach);
    const kind = parent.closest('pre, code') ? 'code' : 'prose';
    found[kind] = Math.min(found[kind], parseFloat(getComputedStyle(parent).fontSize));
    if (kind == 'prose' && walker.currentNode.data.includes('$'))
      found.dollars.push(walker.currentNode.data);
  }
  for (const node of slide.querySelectorAll('img, svg, pre, table'))
    if (!hidden(node)) reach(node.getBoundingClientRect());
  for (const image of slide.querySelectorAll('img'))
    found.images.push([image.naturalWidth, image.alt.trim().length]);
  return found;
})"""


def notebook(*cells):
    """Return a notebook of cells: a text is Markdown."""
    cells = [new_markdown_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    return new_notebook(cells=cells)


def printing(source, text):
    """Return a cell of code that printed a text."""
    return new_code_cell(source, outputs=[new_output("stream", name="stdout", text=text)])


def drawing(source, width=810, height=405):
    """Return a cell of code that drew a figure."""
    Image.new("RGB", (width, height)).save(file := io.BytesIO(), format="png")
    png = base64.b64encode(file.getvalue()).decode()
    data = {"text/html": f'<img alt="A line." src="data:image/png;base64,{png}">'}
    return new_code_cell(source, outputs=[new_output("display_data", data=data)])


def kinds(slides):
    """Return the kinds of the blocks of each slide."""
    return [[block.kind for block in slide.blocks] for slide in slides]


def types(slide):
    """Return the slide type of each cell of a slide."""
    return [cell.metadata.slideshow.slide_type for cell in layout.to_cells(slide)]


def test_examples_in_the_docstrings():
    for module in (layout, slides):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed


# Where a slide begins


def test_headings_begin_slides():
    first, second, third = layout.lay_out(
        notebook("# One\n\nText.\n\n## Two", "More.\n\n### Three")
    )
    assert [first.level, second.level, third.level] == [1, 2, 3]
    assert [types(first)[0], types(second)[0], types(third)[0]] == ["slide", "slide", "subslide"]


def test_what_follows_a_heading_without_a_type_of_its_own_overflows_to_a_new_slide():
    long = ["word " * 100] * 9
    laid = layout.lay_out(notebook("## Long", *long))
    assert len(laid) > 3
    assert all(slide.room >= 0 for slide in laid)
    assert [slide.title for slide in laid] == ["Long"] * len(laid)
    (cell, *_) = layout.to_cells(laid[1])
    assert cell.metadata.slideshow.data.title == "Long"  # stands small above it


def test_fences_details_and_formulas_stay_whole():
    fence, details = "```\na\n\n- b\n```", "<details><summary>A hint</summary>\n\nb\n\n</details>"
    assert layout.paragraphs(f"a\n\n{fence}\n\n{details}\n\nb") == ["a", fence, details, "b"]
    assert layout.paragraphs("$$\na\n$$") == ["$$\na\n$$"]


def test_a_long_table_is_split_and_keeps_its_head():
    head = "| a | b |\n|---|---|\n"
    rows = [f"| {number} | {'word ' * 30} |" for number in range(16)]
    laid = layout.lay_out(notebook(head + "\n".join(rows)))
    texts = [block.source for slide in laid for block in slide.blocks]
    assert len(texts) == 2 and all(text.startswith(head) for text in texts)
    assert [row for text in texts for row in text.splitlines()[2:]] == rows


def test_code_stays_with_what_it_printed():
    cells = ["word " * 150, printing("x = 1\n" * 9, "1\n" * 4)]
    assert kinds(layout.lay_out(notebook(*cells))) == [["prose"], ["code", "output"]]


def test_a_long_output_goes_on_on_the_next_slide():
    text = "\n\n".join("\n".join(f"{part} {line}" for line in range(12)) for part in range(6))
    laid = layout.lay_out(notebook(printing("print(text)", text)))
    assert len(laid) > 1 and all(slide.room >= 0 for slide in laid)
    parts = [block.source for slide in laid for block in slide.blocks if block.kind == "output"]
    assert "\n\n".join(parts) == text  # cut at empty lines, and nothing is lost


def test_code_shrinks_before_it_is_split():
    assert layout.pieces("x = 1\n" * 10)[0].size == 20
    assert layout.pieces("x" * 118)[0].size == 16
    (piece,) = layout.pieces("x = 1\n" * 26)
    assert piece.size < 20
    assert len(layout.pieces("x = 1\n" * 60)) > 1


def test_cells_that_only_import_are_left_out():
    cells = [new_code_cell("import numpy as np\n\nplots.use_style()"), new_code_cell("x = 1")]
    assert [
        block.source for slide in layout.lay_out(notebook(*cells)) for block in slide.blocks
    ] == ["x = 1"]


def test_skipped_cells_are_left_out():
    skipped = new_markdown_cell("No.", metadata={"slideshow": {"slide_type": "skip"}})
    (slide,) = layout.lay_out(notebook("Yes.", skipped))
    assert [block.source for block in slide.blocks] == ["Yes."]


# Figures, answers, notes


def test_a_figure_is_as_large_as_its_observation_allows():
    observation = "**What to see.** " + "word " * 60
    cells = [drawing("show(fig, alt='A line.')"), observation, "**Predict.** More?"]
    code, seen, after = layout.lay_out(notebook(*cells))
    assert kinds([code, seen, after]) == [["code"], ["figure", "prose"], ["prose"]]
    assert types(seen) == ["subslide", "fragment"]  # what to see comes at a click
    assert 0 <= seen.room < 1
    figure, _ = layout.to_cells(seen)
    width, height = map(int, re.findall(r'(?:width|height)="(\d+)"', str(figure.outputs)))
    assert width / height == pytest.approx(2, rel=0.01) and height > 380
    (_, alone) = layout.lay_out(notebook(cells[0]))
    assert alone.blocks[0].size > seen.blocks[0].size


def test_a_wide_figure_is_no_wider_than_the_slide():
    (_, slide) = layout.lay_out(notebook(drawing("draw()", 3000, 300)))
    assert slide.blocks[0].natural[0] * slide.blocks[0].size == pytest.approx(layout.WIDTH)


def test_an_observation_that_comes_later_brings_its_figure_along():
    observation = "**What to see.** A line."
    cells = [drawing("draw()"), "**Check.** It is.", new_code_cell("assert x"), observation]
    assert kinds(layout.lay_out(notebook(*cells)))[-1] == ["figure", "prose"]
    cells[2] = printing("print(x)", "7")  # now the observation is about what was printed
    assert "figure" not in kinds(layout.lay_out(notebook(*cells)))[-1]


def test_an_answer_waits_for_a_click():
    (slide,) = layout.lay_out(notebook("**Predict.** How many?", printing("print(7)", "7")))
    assert types(slide) == ["subslide", "-", "fragment"]
    (slide,) = layout.lay_out(notebook("There are seven.", printing("print(7)", "7")))
    assert types(slide) == ["subslide", "-", "-"]


def test_notes_for_the_instructor_are_for_the_speaker_only():
    tagged = new_markdown_cell("> **In class.** Wait.", metadata={"tags": ["instructor"]})
    untagged = "What to see.\n\n> **In class.** Ask\n> again.\n\n## Next"
    first, second = layout.lay_out(notebook("# One", tagged, untagged))
    assert first.notes == ["**In class.** Wait.", "**In class.** Ask\nagain."]
    assert types(first) == ["slide", "notes", "notes", "-"] and second.notes == []
    early = layout.lay_out(notebook(tagged, "# One"))
    assert early[0].notes == ["**In class.** Wait."]


def test_an_exercise_is_shown_with_its_blank_and_without_complaints(tmp_path):
    blank = printing('p = ...\ncheck("01.1", p)', "nothing to check yet")
    blank.metadata.tags, blank.execution_count = ["exercise"], 1
    nbformat.write(notebook("### 01.1 One\n\nWhat is $p$?", blank), tmp_path / "a.ipynb")
    (slide,) = layout.lay_out(web.read(tmp_path / "a.ipynb"))
    assert kinds([slide]) == [["heading", "prose", "code"]]


# The course's own notebooks


@pytest.fixture(scope="module")
def laid_out():
    """Lay out every notebook."""
    return {path: layout.lay_out(web.read(path)) for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_slide_has_room_for_what_is_on_it(path, laid_out):
    assert [slide.title for slide in laid_out[path] if slide.room < -1] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_lost(path, laid_out):
    shown = "\n".join(
        text if isinstance(text, str) else text.data["text/html"]
        for slide in laid_out[path]
        for text in [*slide.notes, *(block.source for block in slide.blocks)]
    )
    for cell in web.read(path).cells:
        if cell.cell_type == "markdown":
            source = re.sub(r"(?m)^> ?", "", cell.source)
            expected = [line for line in source.splitlines() if not line.startswith("|---")]
        elif layout.only_prepares(cell.source) and not cell.outputs:
            continue
        else:
            printed = [out.text for out in cell.outputs if out.output_type == "stream"]
            expected = "\n".join([layout.without_alt(cell.source), *printed]).splitlines()
            expected += [out.data["text/html"] for out in cell.outputs if "data" in out]
        assert [line for line in expected if line.strip("\n") not in shown] == []


# In a browser


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Make all slides."""
    folder = tmp_path_factory.mktemp("slides")
    slides.main(folder)
    return folder


@pytest.fixture
def opened(browser, folder):
    """Return a function that opens slides, and the list of all that went wrong in their page."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("requestfailed", lambda request: wrong.append(request.url))
    inside = ("data:", f"{folder.as_uri()}/")
    page.on("request", lambda request: request.url.startswith(inside) or wrong.append(request.url))

    def open_slides(name):
        page.goto(f"{folder.as_uri()}/{name}.html")
        page.wait_for_function("Reveal.isReady()")
        return page, wrong

    yield open_slides
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("name", [path.stem for path in NOTEBOOKS])
def test_every_slide_in_a_browser(name, opened):
    page, wrong = opened(name)
    found = page.evaluate(MEASURE)
    assert wrong == []
    assert len(found) > 10
    right, bottom = 1280 - 40, 720 - 20
    assert [(s["at"], s["bottom"]) for s in found if s["bottom"] > bottom] == []
    assert [(s["at"], s["right"]) for s in found if s["right"] > right] == []
    assert min(slide["prose"] for slide in found) >= SMALLEST_PROSE
    assert min(slide["code"] for slide in found) >= SMALLEST_CODE
    assert [slide["dollars"] for slide in found if slide["dollars"]] == []
    assert sum(slide["errors"] for slide in found) == 0
    images = [image for slide in found for image in slide["images"]]
    assert images and all(width > 0 and alt > 10 for width, alt in images)


@pytest.mark.browser
def test_the_measure_sees_what_is_wrong(opened):
    page, wrong = opened(NOTEBOOKS[0].stem)
    page.evaluate("""() => {
      const slide = Reveal.getCurrentSlide();
      slide.insertAdjacentHTML('beforeend', '<p style="font-size: 12px">$x$</p>' +
        '<img src="missing.png"><pre style="height: 900px; width: 1400px"></pre>' +
        '<img src="http://127.0.0.1:9/elsewhere.png">');
    }""")
    page.wait_for_timeout(500)
    first = page.evaluate(MEASURE)[0]
    assert first["bottom"] > 720 and first["right"] > 1280 and first["prose"] == 12
    assert first["dollars"] == ["$x$"] and first["images"] == [[0, 0], [0, 0]]
    assert any("missing.png" in line for line in wrong)
    assert any("elsewhere.png" in line for line in wrong)


@pytest.mark.browser
def test_keys_answers_and_notes(opened):
    page, wrong = opened("02_watch_gradients_vanish")
    page.keyboard.press("ArrowRight")  # the first section: a prediction, code, and its answer
    answer = page.locator("section.present .fragment").first
    assert "visible" not in answer.get_attribute("class")
    page.keyboard.press("Space")
    assert "visible" in answer.get_attribute("class")
    noted = page.locator("aside.notes").first
    assert not noted.is_visible()
    at = noted.evaluate("note => Reveal.getIndices(note.closest('section'))")
    page.evaluate("at => Reveal.slide(at.h, at.v)", at)
    with page.expect_popup() as popup:
        page.keyboard.press("s")
    popup.value.get_by_text("In class.").wait_for()
    assert wrong == []


@pytest.mark.browser
def test_links_stay_in_the_folder(folder):
    for page in folder.glob("*.html"):
        for target in re.findall(r'href="([^"#]+)', page.read_text("utf-8")):
            assert target.startswith("https://") or (folder / target).is_file(), (page.name, target)
