"""Measure data/reading.json, what reading first is worth: python -m tools.reading (an hour)

A network reads novels, or addresses, once and for a while; then it reads *Dracula*. Its bits per
character on the end of *Dracula* are compared with those of a network that had read nothing first.
All are trained alike; nothing was chosen by these scores. Runs are kept under runs/reading/, so a
killed one is resumed.
"""

import json
import sys

from helpers import DATA, RUNS
from helpers.corpora import SHELF, load_corpus, load_novels, load_split, split_tail
from helpers.evaluation import bits_per_char
from helpers.models import adapt, build_char_model
from helpers.storage import replacing
from helpers.text import Vocabulary
from helpers.training import Recipe, fit
from tools.shipped import provenance

SIZES = {  # millions of characters; of novels and addresses the last is all there is
    "novels": (1, 3, 10, 26.6),
    "addresses": (1, 3, 9.6),
    "Stoker": (1, 3),
}
SEEDS = {1: (0, 1)}  # of larger sizes only the first
MODEL = {"hidden_size": 128, "embedding_size": 64, "fast": True}
COMMON = {"batch_size": 32, "seq_len": 64, "beta_2": 0.99}
FIRST_RATE, SECOND_RATE = 8e-3, 1e-2
SECOND_STEPS = 740  # twice the training text
DROPOUT = 0.1


def first_texts():
    """Return what is read first: texts from which a run takes the beginnings of 32 parts."""
    novels = load_novels(progress_bar=True)
    stoker = [book["author"] == "Bram Stoker" for book in SHELF]
    own = "\n\n".join(novel for novel, his in zip(novels, stoker, strict=True) if his)
    addresses = load_split("addresses")[0]
    return {"novels": "\n\n".join(novels), "addresses": addresses, "Stoker": own}


def read(name, model, vocab, text, validation, recipe):
    """Train a model on a text, without looking at any score, in its own folder of runs."""
    ids, judge = vocab.encode(text), vocab.encode(validation)
    folder = RUNS / "reading" / name
    fit(model, vocab, ids, judge, recipe, evaluations=0, folder=folder, progress_bar="lines")
    return model


def after(what, size, seed, texts, vocab):
    """Return validation bits and the bits on the end of *Dracula*, after reading something."""
    train, tail = load_split("dracula")
    train, validation = split_tail(train)
    model, name = build_char_model(len(vocab), seed=seed, **MODEL), f"{what}_{size}_{seed}"
    if size:
        steps = int(size * 1e6) // (COMMON["batch_size"] * COMMON["seq_len"])
        recipe = Recipe(steps=steps, peak_rate=FIRST_RATE, **COMMON)
        read(name, model, vocab, texts[what], validation, recipe)
    model, _ = adapt(model, vocab, "", dropout=DROPOUT)
    recipe = Recipe(steps=SECOND_STEPS, peak_rate=SECOND_RATE, **COMMON)
    read(f"{name}_then_dracula", model, vocab, train, validation, recipe)
    scores = [
        bits_per_char(model, vocab.encode(text), context=vocab.encode(before))
        for text, before in [(validation, train), (tail, train + validation)]
    ]
    return [round(bits, 4) for bits in scores]


def main():
    """Measure what is missing, and write the table."""
    texts = first_texts()
    vocab = Vocabulary.from_text(load_corpus("dracula") + "".join(texts.values()))
    table = {"nothing": {"0": [after("nothing", 0, seed, texts, vocab) for seed in (0, 1)]}}
    for what, sizes in SIZES.items():
        table[what] = {}
        for size in sizes:
            seeds = SEEDS.get(size, (0,))
            table[what][str(size)] = [after(what, size, seed, texts, vocab) for seed in seeds]
            print(what, size, table[what][str(size)], flush=True)
    columns = ["validation", "held out"]
    measured = {
        "columns": columns,
        "bits_per_char": table,
        "provenance": provenance("python -m tools.reading"),
    }
    with replacing(DATA / "reading.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(f"{DATA / 'reading.json'} is written.")


if __name__ == "__main__":
    sys.exit(main())
