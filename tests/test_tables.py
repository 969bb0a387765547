"""The stored tables of data/ belong to the texts and models here, and can be made again."""

import json

import nbformat
import pytest

from helpers import DATA, MODELS, ROOT
from helpers.corpora import SHELF, load_split
from helpers.storage import read_model, sha256
from tools import reading, rivals, shelf_audit
from tools.transfer import cells_that_define


def stored(name):
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["rivals", "reading", "shelf_audit", "transfer"])
def test_a_table_says_how_it_was_made(name):
    made = stored(f"{name}.json")["provenance"]
    assert made["command"] == f"python -m tools.{name}"
    assert {"date", "python", "packages", "machine"} <= set(made)


@pytest.mark.parametrize("name", list(rivals.READ_FIRST))
def test_rivals_were_judged_by_the_text_that_judges_the_model(name, request):
    if name == "dracula":
        request.getfixturevalue("book")  # skips the test without it
    table = stored("rivals.json")["bits_per_char"][name]
    assert table["sha256"] == [sha256(part) for part in load_split(name)]
    assert set(table["alone"]) == set(table["after reading"]) and "zpaq, method 5" in table["alone"]
    assert all(after < table["alone"][each] for each, after in table["after reading"].items())


@pytest.mark.parametrize("name", list(rivals.READ_FIRST))
def test_rivals_read_what_the_model_read(name):
    config, _ = read_model(name)
    read = [stage["corpus"] for stage in config["read_before"]]  # a corpus may be read twice,
    read = [corpus for corpus in read if corpus not in (name, "stoker")]  # its own, or a part, too
    assert list(dict.fromkeys(read)) == rivals.READ_FIRST[name]


def test_what_is_cheap_to_measure_again_comes_out_the_same(book):
    train, held_out = load_split("dracula")
    alone = stored("rivals.json")["bits_per_char"]["dracula"]["alone"]
    ngram = rivals.ngram_bits(train, held_out, context=5)
    assert ngram == pytest.approx(alone["n-gram, context 5"], abs=1e-4)
    large = rivals.compressor_bits(train, held_out, rivals.large_ppmd_bytes)
    assert large == pytest.approx(alone["PPMd, order 8, 512 MB"], abs=1e-4)


def test_every_reading_has_its_scores():
    stored_table = stored("reading.json")
    assert stored_table["how"] == reading.how()
    table = stored_table["bits_per_char"]
    assert set(table) == {"nothing", *reading.SIZES}
    for what, sizes in reading.SIZES.items():
        assert list(table[what]) == [str(size) for size in sizes]
        for size in sizes:
            runs = table[what][str(size)]
            assert len(runs) == len(reading.SEEDS.get(size, (0,)))
            assert all(1 < bits < 4 for run in runs for bits in run)


def test_the_pages_of_the_audit_are_written_by_the_model_that_is_here():
    made = stored("shelf_audit.json")["provenance"]
    assert made["model_sha256"] == sha256((MODELS / "dracula" / "model.npz").read_bytes())


def test_the_audit_runs_the_cells_that_write_and_no_others():
    notebook = nbformat.read(ROOT / "notebooks" / shelf_audit.NOTEBOOK, as_version=4)
    cells = cells_that_define(shelf_audit.NAMES, notebook)
    assert any("sixteen_pages" in cell for cell in cells)
    assert not any(
        "slow" in cell.metadata.get("tags", []) for cell in notebook.cells if cell.source in cells
    )


def test_an_audit_reports_share_and_longest_copy():
    source = "It was the best of times, it was the worst of times."
    found = shelf_audit.audit(
        {"a": ["the best of times, it was", "nothing of the kind, ever"]}, source
    )
    assert found["a"]["share"] == 0.5
    assert found["a"]["longest"] == "the best of times, it was"


def test_stoker_is_on_the_shelf_but_not_dracula():
    titles = {book["title"] for book in SHELF if book["author"] == "Bram Stoker"}
    assert len(titles) == 6 and "Dracula" not in titles
