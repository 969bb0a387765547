"""The models under data/models/: small, whole, and as good as their cards say."""

import hashlib
import json

import pytest

from helpers.corpora import CORPORA, DATA, TEXTS
from helpers.sampling import CharLSTM, generate
from helpers.storage import MODELS, read_model
from helpers.text import load_split

SHIPPED = sorted(path.parent.name for path in MODELS.glob("*/config.json"))
BOOK = TEXTS / CORPORA["dracula"]["sources"][0]["file"]


def test_there_is_one():
    assert "dracula" in SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_is_small_has_a_card_and_writes(name):
    assert sum(file.stat().st_size for file in (MODELS / name).iterdir()) < 6e6
    config, _ = read_model(name)
    assert {"held_out_bits", "recipe", "seconds", "corpus", "seed", "text_sha256"} <= set(config)
    assert f"## {name}\n" in (MODELS / "README.md").read_text(encoding="utf-8")
    assert len(generate(CharLSTM.load(name), "The ", length=50, temperature=0.7, seed=0)) == 50


@pytest.mark.parametrize(
    ("name", "at_most"), [("dracula", 1.85), ("dracula_256", 2.0), ("speeches", 1.72)]
)  # PPMd: 1.92, 1.72
def test_a_shipped_model_scores_what_its_card_says(name, at_most):
    from helpers.models import load_model
    from helpers.training import bits_per_char

    config = read_model(name)[0]
    if config["corpus"] == "dracula" and not BOOK.exists():
        pytest.skip("Dracula is not in data/texts/")
    train, held_out = load_split(config["corpus"])
    assert hashlib.sha256((train + held_out).encode()).hexdigest() == config["text_sha256"]
    model, vocab = load_model(name)
    bits = bits_per_char(model, vocab.encode(held_out), context=vocab.encode(train))
    assert bits == pytest.approx(config["held_out_bits"], abs=0.003)
    assert bits < at_most


def test_the_table_of_transfer_is_whole_and_shows_what_notebook_07_says():
    scores = json.loads((DATA / "transfer.json").read_text(encoding="utf-8"))
    assert set(scores) == {"before", "scratch", "fine-tuned", "frozen"}
    sizes = list(scores["scratch"])
    assert sizes[:3] == ["25000", "100000", "400000"] and len(sizes) == 4
    assert all(list(scores[how]) == sizes for how in ("fine-tuned", "frozen"))
    gain = [
        scores["scratch"][size]["addresses"] - scores["fine-tuned"][size]["addresses"]
        for size in sizes
    ]
    assert gain[0] > 5 * gain[2] > 0
    assert all(
        scores["fine-tuned"][size]["dracula"]
        > scores["frozen"][size]["dracula"]
        > scores["before"]["dracula"]
        for size in sizes
    )
