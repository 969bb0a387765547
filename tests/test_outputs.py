"""`make outputs` on tiny notebooks."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import outputs


def store(path, *sources):
    """Write a notebook of code cells that were never run."""
    cells = [new_markdown_cell("# Try"), *(new_code_cell(source) for source in sources)]
    nbformat.write(
        new_notebook(
            cells=cells,
            metadata={"widgets": {}, "language_info": {"name": "python", "version": "3"}},
        ),
        path,
    )


def test_a_notebook_is_run_and_normalised(tmp_path):
    path = tmp_path / "00_try.ipynb"
    bar = 'for k in range(3):\n    print(f"\\r{k + 1}/3", end="", flush=True)\nprint("\\ndone")'
    store(
        path,
        "from pathlib import Path",
        bar,
        "Path.cwd().name",
        'from ipywidgets import IntSlider\nIntSlider(description="n")',
    )
    ids = [cell.id for cell in nbformat.read(path, as_version=4).cells]
    assert outputs.main([str(path)]) == 0

    stored = nbformat.read(path, as_version=4)
    code = stored.cells[1:]
    assert [cell.id for cell in stored.cells] == ids
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert [output.text for output in code[1].outputs] == ["3/3\ndone\n"]
    assert code[2].outputs[0].data["text/plain"] == repr(tmp_path.name)
    assert list(code[3].outputs[0].data) == ["text/plain"]
    assert stored.metadata == outputs.METADATA
    assert all(cell.metadata == {} for cell in stored.cells)
    assert outputs.normalise(stored) == stored
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_first_error_ends_it_and_leaves_the_file(tmp_path, capsys):
    first, second = tmp_path / "00_fails.ipynb", tmp_path / "01_waits.ipynb"
    store(first, "x = 1", "assert x == 2, 'x is one'")
    store(second, "print(1)")
    before = first.read_bytes(), second.read_bytes()
    assert outputs.main([str(first), str(second)]) == 1
    assert (first.read_bytes(), second.read_bytes()) == before
    said = capsys.readouterr().err
    assert "00_fails.ipynb: failed in cell 2" in said and "x is one" in said


def test_a_kernel_that_dies_is_named(tmp_path, capsys):
    path = tmp_path / "00_dies.ipynb"
    store(path, "import os\nos._exit(1)")
    assert outputs.main([str(path)]) == 1
    assert "00_dies.ipynb: failed in cell 1" in capsys.readouterr().err


def test_a_name_that_is_no_notebook(tmp_path):
    command = [sys.executable, outputs.__file__, str(tmp_path / "none.ipynb")]
    assert subprocess.run(command, capture_output=True).returncode == 1


@pytest.mark.parametrize(
    "written, left",
    [
        ("a\rb", "b"),
        ("a\r\nb", "a\nb"),
        ("a\n50%\r100%\nb", "a\n100%\nb"),
        ("bar\r   \r", ""),
        ("12\b3", "13"),
        ("1\b\b\b2", "2"),
    ],
)
def test_the_last_state_of_a_line(written, left):
    assert outputs.last_state(written) == left


def test_the_picture_in_readme_is_the_one_in_the_notebook():
    name, alt, file = outputs.PICTURE
    root = outputs.NOTEBOOKS.parent
    assert f"]({file})" in (root / "README.md").read_text(encoding="utf-8")
    notebook = nbformat.read(outputs.NOTEBOOKS / name, as_version=4)
    assert (root / file).read_bytes() == outputs.picture(notebook, alt)
    with pytest.raises(ValueError, match="no figure"):
        outputs.picture(notebook, "A figure that is not there")
