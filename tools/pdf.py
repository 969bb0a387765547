"""Make one PDF of all notebooks from their stored outputs: python -m tools.pdf, or `make pdf`.

A browser prints a single page that holds them all, so that a link from one notebook to another
leads to its place in the PDF. Headings become bookmarks. Nothing is run.
"""

import re
import shutil
from pathlib import Path

from nbformat.v4 import new_notebook
from ruamel.yaml import YAML

from tools import web

OUT = web.BUILD / "how-lstms-remember.pdf"
LONG = 30  # lines of code, or of what it printed, that may be split between pages


def address(target):
    """Return where a link to a file leads within the PDF; "" if its target is not there.

    >>> address("04_turn_text_into_tensors.ipynb"), address("../data/README.md")
    ('#cell-id=04_turn_text_into_tensors-0', '')
    """
    path = Path(target)
    known = path.parent == Path(".") and (web.NOTEBOOKS / path.name) in web.numbered()
    return f"#cell-id={path.stem}-0" if known else ""  # as nbconvert names the first cell


def for_paper(cell):
    """Change a cell where paper is not a screen."""
    if cell.cell_type == "markdown":
        cell.source = web.relink(cell.source, address)
        cell.source = cell.source.replace("<details>", "<details open>")  # nobody can click
    elif cell.cell_type == "code":
        printed = [out.text for out in cell.outputs if out.output_type == "stream"]
        if max(text.count("\n") for text in (cell.source, *printed)) >= LONG:
            cell.metadata.setdefault("tags", []).append("long")


def bind(paths):
    """Return one notebook made of many, and their titles by name."""
    whole, contents = new_notebook(), {}
    for path in paths:
        cells = web.read(path).cells
        title = f"{path.name[:2]} {re.match('# (.*)', cells[0].source)[1]}"
        contents[path.stem] = title
        for number, cell in enumerate(cells):
            cell.id = f"{path.stem}-{number}"  # unique in the whole
            for_paper(cell)
        first = cells[0].source.partition("\n")[2]
        cells[0].source = f"# {title}\n{first}"
        whole.cells += cells
    return whole, contents


def page(paths):
    """Return the HTML that a browser prints."""
    whole, contents = bind(paths)
    about = YAML(typ="safe").load(web.ROOT / "CITATION.cff")
    resources = {"about": about, "contents": contents}
    exporter = web.exporter("HTMLExporter", "pdf.html.j2")
    return exporter.from_notebook_node(whole, resources=resources)[0]


def main(out=OUT):
    """Write the PDF."""
    folder = web.BUILD / "pdf"
    web.prepare(folder)
    shutil.copy(web.DOCS / "pdf.css", folder)
    (folder / "index.html").write_text(page(web.numbered()), "utf-8")
    with web.open_browser() as browser:
        sheet = browser.new_page()
        sheet.goto((folder / "index.html").as_uri())
        sheet.evaluate("MathJax.startup.promise")  # all formulas are set
        sheet.pdf(
            path=out, prefer_css_page_size=True, print_background=True, outline=True, tagged=True
        )
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    web.finish(main)
