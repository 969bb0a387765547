"""Measure data/reading.json, what reading first is worth: python -m tools.reading (half an hour)

A network reads novels, or addresses, once and for a while; then it reads *Dracula*. Its bits per
character on the end of *Dracula* are compared with those of a network that had read nothing first.
Of two rates for the second reading, which suit different starts, the validation part chooses. Runs
are kept under runs/reading/, so a killed one is resumed.
"""

import json
import sys

from helpers import DATA, RUNS
from helpers.corpora import SHELF, load_corpus, load_novels, load_split, split_tail
from helpers.evaluation import bits_per_char
from helpers.models import adapt, build_char_model
from helpers.storage import replacing, sha256
from helpers.text import Vocabulary
from helpers.training import Recipe, fit
from tools.shipped import provenance

SIZES = {  # millions of characters; the last of each is all there is
    "novels": (1, 3, 10, 26.6),
    "addresses": (1, 3, 9.6),
    "Stoker": (1, 3),
}
SEEDS = {1: (0, 1)}  # of larger sizes only the first
MODEL = {"hidden_size": 128, "embedding_size": 64, "fast": True}
COMMON = {"seq_len": 64, "beta_2": 0.99}
FIRST_BATCH, SECOND_BATCH = 64, 32
FIRST_RATE, SECOND_RATES = 8e-3, (8e-3, 1.6e-2)
SECOND_STEPS = 500  # one and a half times what is read of Dracula, without the validation part
DROPOUT = 0.1


def first_texts():
    """Return what is read first: texts from which a run takes the beginnings of 64 parts."""
    novels = load_novels(progress_bar=True)
    stoker = [book["author"] == "Bram Stoker" for book in SHELF]
    own = "\n\n".join(novel for novel, his in zip(novels, stoker, strict=True) if his)
    addresses = load_split("addresses")[0]
    return {"novels": "\n\n".join(novels), "addresses": addresses, "Stoker": own}


def read(name, model, vocab, text, validation, recipe):
    """Train a model on a text to the end, in its own folder of runs."""
    history = fit(
        model,
        vocab,
        vocab.encode(text),
        vocab.encode(validation),
        recipe,
        evaluations=0,
        folder=RUNS / "reading" / name,
        card={"start_from": sha256(b"".join(each.tobytes() for each in model.get_weights()))[:16]},
        progress_bar="lines",
    )
    if not history.finished:
        sys.exit(f"{name} was interrupted: run this again, and it goes on.")


def after(what, size, seed, texts, vocab):
    """Return validation bits and the bits on the end of *Dracula*, after reading something."""
    train, tail = load_split("dracula")
    train, validation = split_tail(train)
    start, name = build_char_model(len(vocab), seed=seed, **MODEL), f"{what}_{size}_{seed}"
    if size:
        steps = int(size * 1e6) // (FIRST_BATCH * COMMON["seq_len"])
        recipe = Recipe(steps=steps, batch_size=FIRST_BATCH, peak_rate=FIRST_RATE, **COMMON)
        read(name, start, vocab, texts[what], validation, recipe)
    scores = []
    for rate in SECOND_RATES:
        model, _ = adapt(start, vocab, "", dropout=DROPOUT)
        recipe = Recipe(steps=SECOND_STEPS, batch_size=SECOND_BATCH, peak_rate=rate, **COMMON)
        read(f"{name}_then_{rate}", model, vocab, train, validation, recipe)
        judged = [(validation, train), (tail, train + validation)]
        bits = [
            bits_per_char(model, vocab.encode(text), context=vocab.encode(before))
            for text, before in judged
        ]
        scores.append([round(each, 4) for each in bits])
    return min(scores)


def how():
    """Return what decides the table, for its test."""
    return {
        "model": MODEL | {"dropout": DROPOUT},
        "common": COMMON | {"batches": [FIRST_BATCH, SECOND_BATCH]},
        "first_rate": FIRST_RATE,
        "second_rates": list(SECOND_RATES),
        "second_steps": SECOND_STEPS,
    }


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
        "how": how(),
        "bits_per_char": table,
        "provenance": provenance("python -m tools.reading"),
    }
    with replacing(DATA / "reading.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(f"{DATA / 'reading.json'} is written.")


if __name__ == "__main__":
    sys.exit(main())
