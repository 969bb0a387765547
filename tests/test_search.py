"""The search for a recipe: run once, judged by validation text, told by the runs' own records."""

import json

import pytest

from helpers import MODELS
from helpers.models import build_char_model, save_model
from helpers.text import Vocabulary
from tools import search


def trial(folder, name, bits, **recipe):
    """Stand in for a trial that was run."""
    recipe = {"steps": 100} | recipe
    card = {"seconds": 60, "steps_taken": 100, "held_out_bits": bits, "recipe": recipe}
    model = build_char_model(3, hidden_size=4, dropout=0.25)
    save_model(model, Vocabulary("abc"), folder / "runs" / "search" / name, **card)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "ROOT", tmp_path)
    monkeypatch.setattr(search, "MODELS", tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text(f"before\n{search.MARKS}old{search.MARKS}\nafter\n")
    return tmp_path


def test_the_table_is_made_from_the_records_the_best_first(project, monkeypatch):
    monkeypatch.setattr(search, "TRIALS", dict.fromkeys(["a", "b", "killed", "to come"], ""))
    monkeypatch.setattr(search.training, "main", lambda arguments: 0)
    trial(project, "a", 1.9, peak_rate=0.003, weight_dropout=0.1, start_from="runs/shelf")
    trial(project, "b", 1.8, peak_rate=0.002, weight_dropout=0.2, start_from=None)
    trial(project, "killed", 1.7, steps=200)
    trial(project, "of somebody else", 1.6)
    search.main(["a"])
    records = json.loads((project / "search.json").read_text())
    assert [each["trial"] for each in records] == ["b", "a"]
    text = (project / "README.md").read_text()
    assert "| b | 4 | nothing | 0.25 | 0.2 | 0.002 | 100 | 60 | 1.8 |" in text
    assert "| a | 4 | shelf |" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")


def test_every_trial_is_judged_by_validation_text(project, monkeypatch):
    asked = []
    monkeypatch.setattr(search.training, "main", asked.append)
    monkeypatch.setattr(search, "TRIALS", {"a": "--corpus x", "b": "--corpus y"})
    search.main(["b"])
    assert asked == [
        ["--corpus", "y", "--validate", "--evaluations", "4", "--out", "runs/search/b"]
    ]
    search.main([])
    assert len(asked) == 3 and all("--validate" in arguments for arguments in asked)


def test_mistakes_of_the_maintainer_are_told(project, monkeypatch):
    with pytest.raises(SystemExit, match="There is no trial 'nonsense', but early"):
        search.main(["nonsense"])
    monkeypatch.setattr(search, "TRIALS", {})
    (project / "README.md").write_text("no marks")
    with pytest.raises(ValueError, match="no place for the table"):
        search.main([])
    assert (project / "README.md").read_text() == "no marks"


def test_a_trial_that_was_interrupted_ends_the_search(project, monkeypatch):
    monkeypatch.setattr(search.training, "main", lambda arguments: 130)
    monkeypatch.setattr(search, "TRIALS", {"a": "--corpus x"})
    with pytest.raises(SystemExit):
        search.main([])


def test_the_card_shows_the_stored_search():
    found = json.loads((MODELS / "search.json").read_text(encoding="utf-8"))
    assert {each["trial"] for each in found} <= set(search.TRIALS)
    assert search.as_table(found) in (MODELS / "README.md").read_text(encoding="utf-8")
