"""Make slides of all notebooks from their stored outputs: python -m tools.slides, or `make slides`.

They go into build/slides/, with everything they load, so that the folder can be carried to a room
without network. Nothing is run.
"""

import html
import shutil
from pathlib import Path

from tools import web
from tools.layout import lay_out, to_cells

OUT = web.BUILD / "slides"
THEME = "course"


def address(target):
    """Return where a link to a file leads within the slides; "" if its target is not there.

    >>> address("04_turn_text_into_tensors.ipynb"), address("solutions/05_train_on_dracula.ipynb")
    ('04_turn_text_into_tensors.html', '')
    """
    path = Path(target)
    known = path.suffix == ".ipynb" and (web.NOTEBOOKS / path.name) in web.numbered()
    return f"{path.stem}.html" if known and path.parent == Path(".") else ""


def convert(path):
    """Return the title of a notebook, the page of its slides, and their number."""
    notebook = web.read(path)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = web.relink(cell.source, address)
    slides = lay_out(notebook)
    title = slides[0].title
    notebook.cells = [cell for slide in slides for cell in to_cells(slide)]
    notebook.metadata.title = title
    exporter = web.exporter(
        "SlidesExporter", "slides.html.j2", reveal_url_prefix="reveal.js", reveal_theme=THEME
    )
    page, _ = exporter.from_notebook_node(notebook)
    return title, page, len(slides)


def main(out=OUT):
    """Write the slides of every notebook and a list of them."""
    web.prepare(out)
    shutil.copy(web.DOCS / "slides.css", out / f"reveal.js/dist/theme/{THEME}.css")
    links = []
    for path in web.numbered():
        title, page, count = convert(path)
        (out / f"{path.stem}.html").write_text(page, "utf-8")
        links.append(f'<li><a href="{path.stem}.html">{html.escape(title)}</a></li>')
        print(f"{path.stem}: {count} slides")
    items = "\n".join(links)
    index = (web.DOCS / "slides_index.html").read_text("utf-8").replace("LIST", items)
    (out / "index.html").write_text(index, "utf-8")
    print(f"Open {out / 'index.html'} in a browser; S shows the notes.")


if __name__ == "__main__":
    web.finish(main)
