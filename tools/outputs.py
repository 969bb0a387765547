"""Run the notebooks in order and store their outputs: python -m tools.outputs [NOTEBOOK ...]

A notebook is rewritten only if it ran from top to bottom; the first error ends everything. What is
stored is normalised, so that a second run on the same machine changes next to nothing.
"""

import base64
import copy
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# The rest is the editor's: folding, scrolling, execution times.
CELL_METADATA = {"tags", "slideshow", "jupyter"}
# README's picture is a figure of the course: notebook, start of its alternative text, file.
PICTURE = (
    "05_train_on_dracula.ipynb",
    "Bits per character on unseen text against seconds",
    "docs/learning_curve.png",
)
WIDGET = "application/vnd.jupyter.widget-view+json"


def normalise(notebook):
    """Return a copy without noise: progress, widgets that need a kernel, editors' metadata."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(METADATA)
    count = 0
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        )
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = tidy(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    return notebook


def tidy(outputs):
    """Return outputs with streams joined, overwritten text removed, and widgets as their text."""
    result = []
    for output in outputs:
        last = result[-1] if result else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
            continue
        result.append(output)
        if "metadata" in output:
            output.metadata = nbformat.from_dict(
                {key: value for key, value in output.metadata.items() if value}
            )
        if len(output.get("data", ())) > 1:
            # Without its kernel a widget shows as an error; the text beside it does not.
            output.data.pop(WIDGET, None)
    for output in result:
        if output.output_type == "stream":
            output.text = last_state(output.text)
    return [output for output in result if output.get("text") != ""]


def last_state(text):
    """Return what a terminal shows after the carriage returns and backspaces of progress bars.

    >>> last_state("10%\\r100%\\nab\\bc")
    '100%\\nac'
    """
    text = re.sub(r"[^\n]*\r", "", text.replace("\r\n", "\n"))
    while (shorter := re.sub(r"[^\n\b]\x08", "", text)) != text:
        text = shorter
    return text.replace("\b", "")


def run(path):
    """Run a notebook in its folder and store it; RuntimeError names the cell that failed."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellControlSignal, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    where = {"cell": "the start of the kernel"}

    def note(cell, cell_index):
        where["cell"] = f"cell {cell_index} (counted from 0, text included):\n\n{cell.source}\n"

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=None,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        on_cell_start=note,
    )
    try:
        client.execute()
    except (CellControlSignal, DeadKernelError, RuntimeError) as error:
        raise RuntimeError(f"failed in {where['cell']}\n{error}") from error
    notebook = normalise(notebook)
    nbformat.validate(notebook)
    part = path.with_name(f".{path.name}.part")
    nbformat.write(notebook, part)
    os.replace(part, path)


def picture(notebook, alt):
    """Return, as PNG, the figure of a notebook whose alternative text begins with `alt`."""
    pages = [
        output.get("data", {}).get("text/html", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]
    for page in pages:
        if found := re.match(rf'<img alt="{re.escape(alt)}[^>]*base64,([^"]+)"', page):
            return base64.b64decode(found[1])
    raise ValueError(f"no figure whose alternative text begins with {alt!r}")


def main(names):
    """Run the notebooks of these names, or all. Return 1 at the first error."""
    with tempfile.TemporaryDirectory() as runs:
        # What is stored comes from a whole training, not from one that was found half-way.
        os.environ["COURSE_RUNS"] = runs
        return run_all(names)


def run_all(names):
    """Run the notebooks one after the other, and keep README's picture in step."""
    paths = [Path(name) if Path(name).exists() else NOTEBOOKS / name for name in names]
    for path in paths or sorted(NOTEBOOKS.glob("*.ipynb")):
        if not path.is_file():
            print(f"There is no notebook {path}", file=sys.stderr)
            return 1
        start = time.monotonic()
        try:
            run(path)
        except (RuntimeError, ValueError) as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        print(f"{path.name}: stored after {time.monotonic() - start:.0f} s")
        if path.resolve() == NOTEBOOKS / PICTURE[0]:
            (NOTEBOOKS.parent / PICTURE[2]).write_bytes(
                picture(nbformat.read(path, as_version=4), PICTURE[1])
            )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
