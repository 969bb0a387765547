"""The models under data/models/: small, whole, and as good as their cards say."""

import hashlib

import pytest

from helpers.corpora import CORPORA, TEXTS, load_corpus
from helpers.sampling import CharLSTM, generate
from helpers.storage import MODELS, read_model
from helpers.text import split_tail

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


@pytest.mark.skipif(not BOOK.exists(), reason="Dracula is not in data/texts/")
def test_dracula_scores_what_its_card_says():
    from helpers.models import load_model
    from helpers.training import bits_per_char

    text, config = load_corpus("dracula"), read_model("dracula")[0]
    assert hashlib.sha256(text.encode()).hexdigest() == config["text_sha256"]
    model, vocab = load_model("dracula")
    train, held_out = (vocab.encode(part) for part in split_tail(text))
    bits = bits_per_char(model, held_out, context=train)
    assert bits == pytest.approx(config["held_out_bits"], abs=0.003)
    assert bits < 1.92  # PPMd
