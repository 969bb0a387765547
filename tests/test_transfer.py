"""The table of notebook 07 belongs to the notebook, its first model, and the texts."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from helpers import DATA, MODELS, ROOT
from helpers.storage import sha256
from tools import transfer

TABLE = json.loads((DATA / "transfer.json").read_text(encoding="utf-8"))


def test_the_table_starts_from_the_shipped_model():
    model = (MODELS / "dracula_256" / "model.npz").read_bytes()
    assert TABLE["provenance"]["start_model_sha256"] == sha256(model)


@pytest.mark.slow
def test_the_table_is_what_the_cells_of_the_notebook_measure(monkeypatch, capsys):
    monkeypatch.chdir(DATA)  # so that the working folder is restored afterwards
    cells = transfer.defined_by_cells(transfer.NOTEBOOK, transfer.NAMES)
    scores = TABLE["bits_per_char"]
    assert set(scores) == {"before", *cells["PLANS"]}
    for how in cells["PLANS"]:
        assert list(scores[how]) == [str(size) for size in cells["SIZES"]]
    for size, draws in zip(cells["SIZES"], transfer.DRAWS, strict=True):
        made = TABLE["how"][str(size)]
        assert made["plan"] == transfer.plan(cells, size) and made["draws"] == draws
        assert all(len(scores[how][str(size)]) == draws for how in cells["PLANS"])
    measured = cells["both_bits"](cells["start"])  # the rows that need no training
    if "Van Helsing" in cells["novel_train"]:
        assert measured == pytest.approx(scores["before"], abs=0.003)
    assert measured["addresses"] == pytest.approx(scores["before"]["addresses"], abs=0.003)


def test_only_the_cells_that_are_needed_are_run():
    sources = ["import os", "x = 1", "def double(y):\n    return y * x", "x = 5\nz = double(3)"]
    sources += ["fit(model)", "answer = double(2)", "print(answer)"]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    assert transfer.cells_that_define(["answer"], notebook) == [*sources[1:4], sources[5]]


def test_training_cells_of_the_notebook_are_not_run():
    notebook = nbformat.read(ROOT / "notebooks" / transfer.NOTEBOOK, as_version=4)
    slow = {cell.source for cell in notebook.cells if "slow" in cell.metadata.get("tags", [])}
    assert slow and slow.isdisjoint(transfer.cells_that_define(transfer.NAMES, notebook))


def test_the_table_shows_what_the_notebook_says():
    scores = TABLE["bits_per_char"]

    def every(how, size, text):
        return [run[text] for run in scores[how][size]]

    tuned, scratch = (every(how, "25000", "addresses") for how in ("fine-tuned", "scratch"))
    assert max(tuned) < min(scratch)  # in each of three draws
    for size in list(TABLE["how"])[1:]:
        tuned, frozen = (every(how, size, "dracula") for how in ("fine-tuned", "frozen"))
        assert min(tuned) > max(frozen) > scores["before"]["dracula"]


def test_one_way_is_measured_again_and_the_others_are_kept(tmp_path, monkeypatch):
    plans = {"scratch": [(3, 0.1)], "frozen": [(2, 0.1)]}
    cells = {"PLANS": plans, "SIZES": [25_000], "novel_train": "Van Helsing", "start": "start"}
    cells |= {"both_bits": lambda model: {"addresses": model}, "train_from": lambda *how: how}
    cells |= dict.fromkeys(("adapt", "build_char_model"), str)
    monkeypatch.setattr(transfer, "defined_by_cells", lambda notebook, names: cells)
    monkeypatch.setattr(transfer, "DATA", tmp_path)
    monkeypatch.setattr(transfer, "DRAWS", (3,))
    transfer.main([])
    path = tmp_path / "transfer.json"
    first = json.loads(path.read_text())
    assert [len(first["bits_per_char"][how]["25000"]) for how in plans] == [3, 3]
    cells["train_from"] = lambda *how: "again"
    transfer.main(["--ways", "scratch"])
    scores = json.loads(path.read_text())["bits_per_char"]
    assert scores["scratch"] == {"25000": [{"addresses": "again"}] * 3}
    assert scores["frozen"] == first["bits_per_char"]["frozen"]
    kept = path.read_bytes()
    for wrong, message in (
        (["--ways", "scrath"], "'scrath'"),
        (["--ways", "frozen", "--fast"], "fast"),
    ):
        with pytest.raises(SystemExit, match=message):
            transfer.main(wrong)
    assert path.read_bytes() == kept
