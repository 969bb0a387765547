"""The models under data/models/: small, whole, and as good as their cards say."""

import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from helpers import MODELS, training
from helpers.corpora import load_split
from helpers.evaluation import bits_per_char
from helpers.models import build_char_model, load_model, save_model
from helpers.runs import Recipe
from helpers.sampling import CharLSTM, generate
from helpers.storage import read_model, sha256
from helpers.text import Vocabulary
from tools import shipped
from tools.shipped import STAGES, ship

SHIPPED = sorted(path.parent.name for path in MODELS.glob("*/model.npz"))


def test_there_is_one():
    assert "dracula" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_small_has_a_card_and_writes(name):
    assert [file.name for file in (MODELS / name).iterdir()] == ["model.npz"]
    assert (MODELS / name / "model.npz").stat().st_size < 6e6
    config, _ = read_model(name)
    assert {"held_out_bits", "recipe", "seconds", "corpus", "seed", "text_sha256"} <= set(config)
    assert f"## {name}\n" in (MODELS / "README.md").read_text(encoding="utf-8")
    assert len(generate(CharLSTM.load(name), "The ", length=50, temperature=0.7, seed=0)) == 50


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "at_most"),
    [
        ("dracula", 1.62),
        ("dracula_768", 1.72),
        ("dracula_256", 2.0),
        ("speeches", 1.634),
        ("lstm_128", 2.25),
        ("rnn_243", 2.27),
    ],
)  # PPMd after the same reading: 1.817, 1.635
def test_a_shipped_model_scores_what_its_card_says(name, at_most, request):
    config = read_model(name)[0]
    if config["corpus"] == "dracula":
        request.getfixturevalue("book")  # skips the test without it
    train, held_out = load_split(config["corpus"])
    assert sha256(train + held_out) == config["text_sha256"]
    model, vocab = load_model(name)
    bits = bits_per_char(model, vocab.encode(held_out), context=vocab.encode(train))
    assert bits == pytest.approx(config["held_out_bits"], abs=0.003)
    assert bits < at_most


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_was_made_by_the_recipe_that_makes_it_again(name):
    arguments = training._parser().parse_args([*shlex.split(STAGES[name]), "--out", name])
    config, _ = read_model(name)
    assert config["corpus"] == arguments.corpus
    assert (config["dropout"], config["seed"]) == (arguments.dropout, arguments.seed)
    stages = [shlex.split(stage["command"]) for stage in config.get("read_before", [])]
    names = [Path(command[-1]).name for command in stages] + [name]
    assert [command[3:-2] for command in stages] == [
        shlex.split(STAGES[each]) for each in names[:-1]
    ]
    asked_for = [
        training._parser().parse_args([*shlex.split(STAGES[each]), "--out", "any"])
        for each in names
    ]
    assert config["hidden_size"] == [a.hidden_size for a in asked_for if a.hidden_size][-1]
    assert config.get("cell", "lstm") == (asked_for[0].cell or "lstm")
    recipe, asked = config["recipe"], vars(arguments)
    assert recipe.get("start_from") == asked["start_from"]
    options = {option.name for option in fields(Recipe)} & set(recipe)
    assert {"batch_size", "seq_len", "peak_rate", "weight_dropout"} <= options
    assert {name: recipe[name] for name in options} == {name: asked[name] for name in options}


def test_a_stage_is_trained_after_those_it_starts_from(monkeypatch):
    trained = []
    monkeypatch.setattr(training, "main", lambda arguments: trained.append(arguments[-1]))
    monkeypatch.setitem(STAGES, "first", "--corpus a")
    monkeypatch.setitem(STAGES, "last", "--corpus b --start-from runs/first")
    assert shipped.train("last") == ["first", "last"]
    assert trained == ["runs/first", "runs/last"]
    monkeypatch.setattr(training, "main", lambda arguments: 130)
    with pytest.raises(SystemExit):
        shipped.train("last")


def test_a_model_is_shipped_with_its_provenance(tmp_path, monkeypatch):
    trained = build_char_model(3, hidden_size=8)
    measured = {"recipe": {}, "seconds": 1, "steps_taken": 2, "held_out_bits": 3.0}
    about = {"corpus": "dracula", "text_sha256": "0"}
    for stage in ("shelf", "dracula"):
        save_model(trained, Vocabulary("abc"), tmp_path / "runs" / stage, **measured, **about)
    monkeypatch.setattr(shipped, "ROOT", tmp_path)
    monkeypatch.setattr(shipped, "MODELS", tmp_path / "models")
    ship(["shelf", "dracula"])
    config, weights = read_model(tmp_path / "models" / "dracula")
    assert {key: config[key] for key in measured | about} == measured | about
    made, (before,) = config["provenance"], config["read_before"]
    assert made["command"].endswith("--out runs/dracula") and {"numpy", "keras"} < set(
        made["packages"]
    )
    assert {"tensorflow", "tensorflow-cpu"} & set(made["packages"])
    assert before["command"].endswith("--out runs/shelf") and before["held_out_bits"] == 3.0
    for kept, weight in zip(weights.values(), trained.get_weights(), strict=True):
        loudest = abs(weight).max(axis=-1, keepdims=True)  # of its row; a bias is not in 8 bits
        assert (abs(kept - weight) <= 1.001 * loudest / (254 if weight.ndim == 2 else 2048)).all()
