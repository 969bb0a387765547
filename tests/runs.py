"""Tiny training runs: what several tests train, and what they ask of it."""

import json
import zipfile
from dataclasses import fields

import numpy as np
import pytest

from helpers.evaluation import bits_per_char
from helpers.models import build_char_model
from helpers.runs import History, Recipe
from helpers.sampling import CharLSTM, surprise
from helpers.text import Vocabulary
from helpers.training import fit

VOCAB = Vocabulary("abcdefgh")
RNG = np.random.default_rng(0)
TRAIN, HELD_OUT = RNG.integers(0, 8, 161).astype(np.int32), RNG.integers(0, 8, 30).astype(np.int32)
EPOCH, STEPS = 10, 23  # steps in an epoch of TRAIN; steps of most runs
SIZES = {"hidden_size": 8, "embedding_size": 4, "dropout": 0.3, "seed": 0}
RECIPE = {"batch_size": 2, "seq_len": 8, "warmup_steps": 5}
# So high a rate on so short a text that the held-out score soon gets worse and worse: the best
# evaluation is neither the first nor the last.
OVERFIT = {
    "sizes": {"dropout": 0.0},
    "steps": 40,
    "evaluations": 6,
    "peak_rate": 0.1,
    "keep_best": True,
}


class Killed(Exception):
    """What a test raises where a process is killed: nothing catches it, nothing is saved."""


def train(folder=None, *, sizes=(), vocab=VOCAB, ids=TRAIN, held_out=HELD_OUT, **options):
    """Train a tiny model; return its history, and the model. Options are of Recipe and of fit."""
    model = build_char_model(len(vocab), **SIZES | dict(sizes))
    budget = {} if {"steps", "epochs", "minutes"} & set(options) else {"steps": STEPS}
    names = {option.name for option in fields(Recipe)} & set(options)
    recipe = Recipe(**RECIPE | budget | {name: options.pop(name) for name in names})
    options = {"evaluations": 3, "prompt": vocab.characters[0], "progress_bar": False} | options
    return fit(model, vocab, ids, held_out, recipe, folder=folder, **options), model


def not_called(step):
    """Use as `on_step` of a run that should not train."""
    raise AssertionError(f"trained step {step}")


def stop_at(*steps):
    """Press the stop button after some steps."""

    def on_step(step):
        if step in steps:
            raise KeyboardInterrupt

    return on_step


def kill_at(last):
    """Kill the run after a step."""

    def on_step(step):
        if step == last:
            raise Killed

    return on_step


def read_entries(path):
    """Return the entries of an archive by name, as bytes."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_entries(path, entries):
    """Write entries as they are, whether or not they make sense."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def card_in(folder):
    """Return the card of the checkpoint: recipe and history."""
    return json.loads(read_entries(folder / "checkpoint.npz")["config.json"])


def history_in(folder):
    """Return the history that the checkpoint keeps."""
    return History(**card_in(folder)["history"])


def steps_in(folder):
    """Return how many steps the checkpoint has seen."""
    return len(history_in(folder).train_bits)


def assert_same_weights(model, other):
    """Compare all weights of two models, bit by bit."""
    for one, another in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, another)


def assert_same_run(run, other):
    """Compare all that two runs measured, and the models they made."""
    (history, model), (other_history, other_model) = run, other
    np.testing.assert_allclose(history.train_bits, other_history.train_bits, atol=1e-4)
    assert history.curve()[0] == other_history.curve()[0]
    np.testing.assert_allclose(history.curve()[1], other_history.curve()[1], atol=1e-4)
    for a, b in zip(model.get_weights(), other_model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def random_ids(length, seed=1):
    """Return random characters of VOCAB, by number."""
    return np.random.default_rng(seed).integers(0, 8, length)


def bits_in_numpy(model, ids):
    """Return the bits of each character but the first, by the NumPy cell that reads in one go."""
    return surprise(CharLSTM.from_keras(model, VOCAB), [VOCAB.decode(ids)])[0]


def assert_scores_its_best(history, model):
    """Check that a model scores its best evaluation, by far neither the first nor the last."""
    bits = history.curve()[1]
    assert history.best["held_out_bits"] == min(bits) < min(bits[0], bits[-1]) - 0.05
    score = bits_per_char(model, HELD_OUT, context=TRAIN)
    assert score == pytest.approx(history.best["held_out_bits"], abs=1e-5)
