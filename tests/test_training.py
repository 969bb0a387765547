"""Training: score, schedule, budget, checkpoints and resume. Bounds are in steps, never in seconds."""

import json
import logging
import pickle
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import training
from helpers.corpora import load_corpus
from helpers.models import build_char_model, keras, load_model, zero_state
from helpers.sampling import CharLSTM, softmax
from helpers.storage import read_model
from helpers.text import Vocabulary, make_streams, split_tail
from helpers.training import bits_per_char, fit, learning_rate, make_train_step

ROOT = Path(__file__).resolve().parents[1]
VOCAB = Vocabulary("abcdefgh")
RNG = np.random.default_rng(0)
TRAIN, HELD_OUT = RNG.integers(0, 8, 161).astype(np.int32), RNG.integers(0, 8, 30).astype(np.int32)
EPOCH, STEPS = 10, 23  # steps in an epoch of TRAIN; steps of most runs below
SIZES = {"hidden_size": 8, "embedding_size": 4, "layers": 1, "dropout": 0.3, "seed": 0}


def train(folder=None, sizes=(), vocab=VOCAB, ids=TRAIN, held_out=HELD_OUT, **options):
    """Train a tiny model; return what was measured, and the model."""
    model = build_char_model(len(vocab), **SIZES | dict(sizes))
    budget = {} if {"epochs", "minutes"} & set(options) else {"steps": STEPS}
    options = (
        {
            "batch_size": 2,
            "seq_len": 8,
            "warmup_steps": 5,
            "evaluations": 3,
            "prompt": vocab.characters[0],
        }
        | budget
        | options
    )
    return fit(model, vocab, ids, held_out, folder=folder, progress_bar=False, **options), model


def assert_same_run(one, other):
    (history, model), (other_history, other_model) = one, other
    np.testing.assert_allclose(history.train_bits, other_history.train_bits, atol=1e-4)
    assert history.curve()[0] == other_history.curve()[0]
    np.testing.assert_allclose(history.curve()[1], other_history.curve()[1], atol=1e-4)
    for a, b in zip(model.get_weights(), other_model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def stop_at(*steps):
    """Press the stop button after some steps."""

    def on_step(step):
        if step in steps:
            raise KeyboardInterrupt

    return on_step


def steps_in(folder):
    """Return how many steps the checkpoint has seen."""
    with np.load(folder / "checkpoint.npz") as file:
        return len(json.loads(file["note"].tobytes())["history"]["train_bits"])


@pytest.fixture(scope="module")
def whole():
    """Train without a break."""
    return train()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Hold a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, *train(folder)


# --- bits per character ---


def random_model(memory=True, layers=1):
    """Build a model whose weights are not small, so that its predictions differ much; without memory, if asked for."""
    model = build_char_model(8, hidden_size=8, embedding_size=4, layers=layers)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    if not memory:  # no weights from the hidden state, and a forget gate that is shut
        embedding, kernel, recurrent_kernel, bias, *dense = model.get_weights()
        kernel[:, 8:16], bias[8:16] = 0, -1000
        model.set_weights([embedding, kernel, 0 * recurrent_kernel, bias, *dense])
    return model


def losses_in_bits(model, text):
    """Read `text` in one go, with the cell in NumPy; return -log2 of the probability of each character but the first."""
    model = CharLSTM.from_keras(model, VOCAB)
    state, bits = model.zero_state(), []
    for character, following in zip(text[:-1], text[1:], strict=True):
        logits, state = model.step(np.array([character]), state)
        bits.append(-np.log2(softmax(logits[0].astype(float))[following]))
    return np.array(bits)


def random_ids(length, seed=1):
    return np.random.default_rng(seed).integers(0, 8, length)


@pytest.mark.parametrize(
    "length, context, layers",
    [(2, 0, 1), (1, 1, 1), (1, 60, 1), (257, 0, 1), (300, 1, 1), (300, 128, 1), (300, 50, 2)],
)
def test_bits_of_a_short_text(length, context, layers):
    model, ids, before = (
        random_model(layers=layers),
        random_ids(length),
        random_ids(context, seed=2),
    )
    expected = losses_in_bits(model, [*before, *ids])[-length if context else None :].mean()
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=1e-4)


def test_of_a_long_context_the_end_is_read():
    model, ids, before = random_model(), random_ids(40), random_ids(1000, seed=2)
    expected = losses_in_bits(model, [*before[-128:], *ids])[-40:].mean()
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=1e-4)
    assert bits_per_char(model, ids) != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "length, context", [(256, 0), (257, 0), (1000, 1), (1001, 7), (1002, 16), (5003, 500)]
)
def test_each_character_of_a_long_text_is_scored_once(length, context):
    # A model without memory does not mind where the text is cut.
    model, ids, before = random_model(memory=False), random_ids(length), random_ids(context, seed=2)
    expected = losses_in_bits(model, [*before, *ids])[-length if context else None :].mean()
    assert bits_per_char(model, ids, context=before, batch_size=4, overlap=16) == pytest.approx(
        expected, abs=1e-5
    )


@pytest.mark.parametrize("context", [0, 200])
def test_bits_of_a_long_text_are_those_of_one_stream(context):
    model, ids, before = random_model(), random_ids(17_000), random_ids(context, seed=2)
    expected = losses_in_bits(model, [*before, *ids])[-len(ids) if context else None :].mean()
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("length, context", [(0, 0), (1, 0), (0, 5)])
def test_nothing_to_score_is_refused(length, context):
    with pytest.raises(ValueError, match=f"{length} characters leaves nothing to score"):
        bits_per_char(random_model(), random_ids(length), context=random_ids(context))


def test_scoring_many_models_brings_no_warning(caplog):
    logger = logging.getLogger("tensorflow")
    logger.addHandler(caplog.handler)
    try:
        for _ in range(8):
            bits_per_char(random_model(), random_ids(20))
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records


# --- the schedule ---


def test_learning_rate_warms_up_and_falls_to_zero():
    rates = [learning_rate(step / 1000, step, peak=0.02, warmup_steps=50) for step in range(1001)]
    assert rates[0] == pytest.approx(0.02 / 50)
    assert rates[24] == pytest.approx(0.01, rel=0.01)
    assert max(rates) == pytest.approx(0.02, rel=0.01) and rates.index(max(rates)) == 49
    assert all(np.diff(rates[:50]) > 0) and all(np.diff(rates[49:]) < 0)
    assert rates[500] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0, abs=1e-12) == learning_rate(1.5, 2000, peak=0.02)


# --- what a step does ---


def test_state_is_carried_from_batch_to_batch_and_begins_anew_with_the_text():
    # At a rate of zero, the losses are those of the first weights.
    history, model = train(sizes={"dropout": 0.0}, steps=2 * EPOCH, peak_rate=0.0)
    inputs, targets = make_streams(TRAIN, batch_size=2, seq_len=8)
    streams = [np.append(inputs[:, row].ravel(), targets[-1, row, -1]) for row in range(2)]
    expected = np.mean(
        [losses_in_bits(model, stream).reshape(EPOCH, 8).mean(axis=1) for stream in streams], axis=0
    )
    np.testing.assert_allclose(history.train_bits, np.tile(expected, 2), atol=1e-4)


def test_training_learns():
    ids = np.tile(np.arange(8), 40)
    history, _ = train(
        sizes={"dropout": 0.0}, ids=ids, held_out=ids[:50], steps=150, peak_rate=0.05
    )
    assert history.train_bits[0] == pytest.approx(3, abs=1)  # the logarithm of the alphabet
    assert history.train_bits[-1] < 0.5 and history.held_out_bits < 0.5


def test_clipping_reaches_the_optimizer():
    # Adam divides by the size of the gradients, so a small norm is felt only where they vanish beside its epsilon.
    start = build_char_model(8, **SIZES).get_weights()

    def moved(clip_norm):
        end = train(steps=3, clip_norm=clip_norm)[1].get_weights()
        return max(abs(a - b).max() for a, b in zip(start, end, strict=True))

    assert moved(1e-12) < 1e-4 < 1e-3 < moved(None)


def test_same_seed_same_run(whole):
    assert_same_run(train(), whole)
    thinned = train(weight_dropout=0.3)
    assert_same_run(train(weight_dropout=0.3), thinned)
    for other, _ in (train(sizes={"seed": 1}), train(sizes={"dropout": 0.0}), thinned):
        assert not np.allclose(other.train_bits, whole[0].train_bits, atol=1e-3)


class Gradients:
    """In the place of an optimizer: puts each gradient where the weights were, and counts its steps."""

    def __init__(self):
        self.iterations = keras.Variable(0, dtype="int64")

    def apply_gradients(self, pairs):
        self.iterations.assign_add(1)
        for gradient, variable in pairs:
            variable.assign(keras.ops.convert_to_tensor(gradient))


def one_batch(model, length=8):
    """Return the inputs, targets and state of a step that reads `length` characters, twice over."""
    text = random_ids(2 * length + 2).reshape(2, -1).astype(np.int32)
    return text[:, :-1], text[:, 1:], zero_state(model, 2)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_does_without_a_share_of_the_recurrent_weights_alone(layers, rate):
    sizes = {"hidden_size": 32, "layers": layers}
    model, thin = (build_char_model(8, **sizes) for _ in range(2))
    weights, recurrent = (
        model.get_weights(),
        [2, 5][:layers],
    )  # after the embedding and a kernel; then bias and kernel
    inputs, targets, state = one_batch(model)
    loss, *end = make_train_step(model, Gradients(), rate)(inputs, targets, state)
    gradients = model.get_weights()
    kept = {i: gradients[i] != 0 for i in recurrent}
    assert [1 - mask.mean() for mask in kept.values()] == pytest.approx(
        [rate] * layers, abs=rate / 10
    )
    # It is the step of a model that has the rest of them, made larger to make up for it, and all other weights.
    scale = {i: mask / (1 - rate) for i, mask in kept.items()}
    thin.set_weights([weight * scale.get(i, 1) for i, weight in enumerate(weights)])
    bits = [
        losses_in_bits(thin, np.append(row, last[-1]))
        for row, last in zip(inputs, targets, strict=True)
    ]
    assert float(loss) == pytest.approx(np.mean(bits) * np.log(2), abs=1e-5)
    _, *same_end = make_train_step(thin, Gradients())(inputs, targets, state)
    np.testing.assert_allclose(end, same_end, atol=1e-5)
    for i, (one, other) in enumerate(zip(gradients, thin.get_weights(), strict=True)):
        np.testing.assert_allclose(one, other * scale.get(i, 1), atol=1e-6)


def test_each_step_and_each_layer_does_without_other_weights():
    model = build_char_model(8, hidden_size=32, layers=2)
    weights, step, masks = model.get_weights(), make_train_step(model, Gradients(), 0.5), []
    for _ in range(3):
        model.set_weights(weights)
        step(*one_batch(model))
        masks += [model.get_weights()[i] == 0 for i in (2, 5)]
    alike = [(one == other).mean() for i, one in enumerate(masks) for other in masks[:i]]
    assert alike == pytest.approx([0.5] * 15, abs=0.05)


def test_beside_it_other_outputs_are_dropped_at_each_step():
    model = build_char_model(8, hidden_size=256, dropout=0.5)
    weights, step, masks = model.get_weights(), make_train_step(model, Gradients(), 0.5), []
    inputs, targets, state = one_batch(model, length=1)
    for _ in range(3):
        model.set_weights(weights)
        step(inputs[:1], targets[:1], [part[:1] for part in state])
        masks.append((model.get_weights()[-2] == 0).all(axis=1))  # of the output of one character
    assert [mask.mean() for mask in masks] == pytest.approx([0.5] * 3, abs=0.1)
    assert [(masks[i] == masks[i - 1]).mean() for i in range(3)] == pytest.approx(
        [0.5] * 3, abs=0.1
    )


def test_scores_and_weights_are_those_of_the_whole_model():
    # At a rate of zero, all are those of the first weights, but for the losses in training.
    options = {"sizes": {"dropout": 0.0}, "peak_rate": 0.0}
    (plain, start), (history, model) = train(**options), train(**options, weight_dropout=0.5)
    assert history.curve() == plain.curve()
    assert abs(np.subtract(history.train_bits, plain.train_bits)).max() > 0.01
    assert all(
        np.array_equal(a, b) for a, b in zip(start.get_weights(), model.get_weights(), strict=True)
    )


def test_held_out_text_does_not_reach_the_weights(whole):
    history, model = train(held_out=np.zeros(77, np.int32))
    assert history.train_bits == whole[0].train_bits
    assert all(
        np.array_equal(a, b)
        for a, b in zip(model.get_weights(), whole[1].get_weights(), strict=True)
    )
    assert history.held_out_bits != whole[0].held_out_bits


@pytest.mark.parametrize(
    "ids", [[], [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]], ids=["empty", "ten characters"]
)
def test_too_short_a_text_is_refused(ids):
    with pytest.raises(ValueError, match=f"{len(ids)} characters is too short for 2 streams of 8"):
        train(ids=np.array(ids, np.int32))


def test_ten_characters_will_do_for_one_short_stream():
    history, _ = train(ids=TRAIN[:10], batch_size=1, seq_len=4, steps=5)
    assert len(history.train_bits) == 5 and np.isfinite(history.train_bits).all()


def test_one_repeated_character():
    only = Vocabulary("a")
    history, model = train(vocab=only, ids=np.zeros(100, np.int32), held_out=np.zeros(20, np.int32))
    assert history.train_bits == pytest.approx(
        [0] * STEPS, abs=1e-6
    ) and history.held_out_bits == pytest.approx(0, abs=1e-6)
    assert history.evaluations[-1]["sample"] == "a" * 60
    assert all(np.isfinite(w).all() for w in model.get_weights())
    both, _ = train(
        ids=np.zeros(161, np.int32), held_out=np.zeros(20, np.int32), steps=100, peak_rate=0.05
    )  # of eight known
    assert 2 < both.train_bits[0] and both.held_out_bits < 0.1


def test_no_held_out_text_is_refused():
    with pytest.raises(ValueError, match="nothing to score"):
        train(held_out=np.zeros(0, np.int32))


# --- budgets and evaluations ---


@pytest.mark.parametrize(
    "budgets",
    [
        {},
        {"steps": 1, "epochs": 1},
        {"steps": 1, "minutes": 1},
        {"steps": 1, "epochs": 1, "minutes": 1},
    ],
)
def test_budgets_but_one_are_refused(budgets):
    with pytest.raises(ValueError, match="exactly one budget"):
        fit(build_char_model(8, hidden_size=8), VOCAB, TRAIN, HELD_OUT, **budgets)


@pytest.mark.parametrize(
    "name, budget",
    [
        ("steps", 0),
        ("steps", -1),
        ("epochs", 0.01),
        ("epochs", -1),
        *(("minutes", minutes) for minutes in (0, -1, np.nan, np.inf)),
    ],
)
def test_a_budget_that_never_ends_or_begins_is_refused(name, budget):
    with pytest.raises(ValueError, match="budget is a positive number"):
        train(**{name: budget})


@pytest.mark.parametrize(
    "sizes", [{"batch_size": 0}, {"seq_len": 0}, {"batch_size": -1, "seq_len": -1}]
)
def test_streams_of_no_size_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        train(**sizes)


@pytest.mark.parametrize("epochs, steps", [(2, 2 * EPOCH), (0.5, 5)])
def test_epochs(epochs, steps):
    history, _ = train(epochs=epochs)
    assert len(history.train_bits) == steps and history.finished


def test_minutes_end():
    history, _ = train(minutes=1e-4)
    assert history.finished and history.seconds > 0.006
    assert history.evaluations[-1]["step"] == len(history.train_bits)


@pytest.mark.parametrize(
    "evaluations, steps, expected",
    [
        (3, 12, [0, 4, 8, 12]),
        (1, 12, [0, 12]),
        (0, 3, [0, 3]),
        (9, 3, [0, 1, 2, 3]),
        (3, 7, [0, 3, 5, 7]),
    ],
)
def test_evaluations_are_spread_evenly_and_end_with_the_run(evaluations, steps, expected):
    history, _ = train(evaluations=evaluations, steps=steps)
    assert history.curve()[0] == expected
    assert history.held_out_bits == history.curve()[1][-1]
    seconds, bits = history.curve("seconds")
    assert seconds == sorted(seconds) and len(seconds) == len(bits) == len(expected)


def test_evaluations_score_the_model_and_show_what_it_writes(whole):
    history, model = whole
    assert history.held_out_bits == pytest.approx(
        bits_per_char(model, HELD_OUT, context=TRAIN), abs=1e-6
    )
    assert all(
        len(e["sample"]) == 60 and set(e["sample"]) <= set(VOCAB.characters)
        for e in history.evaluations
    )


def test_the_progress_bar_shows_bits_and_samples(capsys):
    model = build_char_model(8, **SIZES)
    fit(model, VOCAB, TRAIN, HELD_OUT, steps=3, batch_size=2, seq_len=8, evaluations=1, prompt="a")
    out = capsys.readouterr().out
    assert re.search(r"step     0  held-out \d\.\d{3} bits/char  [a-h]+\n", out)
    assert re.search(r"3/3 .*bits/char", out)
    train(steps=3)
    assert capsys.readouterr().out == ""


# --- the best evaluation ---

# So high a rate on so short a text that the held-out score is soon worse and worse: the best is neither first nor last.
OVERFIT = {
    "sizes": {"dropout": 0.0},
    "steps": 40,
    "evaluations": 6,
    "peak_rate": 0.1,
    "keep_best": True,
}


def assert_scores_its_best(history, model):
    """The model scores what the best evaluation says, and that is neither the first nor the last, by far."""
    bits = history.curve()[1]
    assert history.best["held_out_bits"] == min(bits) < min(bits[0], bits[-1]) - 0.05
    assert bits_per_char(model, HELD_OUT, context=TRAIN) == pytest.approx(
        history.best["held_out_bits"], abs=1e-5
    )


def test_the_best_evaluation_is_the_first_with_the_fewest_bits():
    evaluations = [
        {"step": step, "held_out_bits": bits}
        for step, bits in enumerate([3.0, 2.5, 2.75, 2.5, 4.0])
    ]
    history = training.History(evaluations=evaluations)
    assert history.best == evaluations[1] and history.held_out_bits == 4.0


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """Hold a finished run that kept its best weights."""
    folder = tmp_path_factory.mktemp("best")
    return folder, *train(folder, **OVERFIT)


def test_the_best_weights_are_kept_and_not_the_last(best):
    folder, history, model = best
    assert history.finished and len(history.train_bits) == 40
    assert_scores_its_best(history, model)
    kept, _ = load_model(folder)
    assert all(
        np.array_equal(a, b) for a, b in zip(kept.get_weights(), model.get_weights(), strict=True)
    )
    assert read_model(folder)[0]["held_out_bits"] == round(history.best["held_out_bits"], 4)
    assert_scores_its_best(*train(folder, **OVERFIT, on_step=lambda step: pytest.fail("trained")))
    last, worse = train(
        **OVERFIT | {"keep_best": False}
    )  # keeping the best does not change what is measured
    assert last.curve() == history.curve() and last.train_bits == history.train_bits
    assert bits_per_char(worse, HELD_OUT, context=TRAIN) == pytest.approx(
        last.held_out_bits, abs=1e-5
    )


@pytest.mark.parametrize("stop", [8, 30])
def test_interrupted_and_resumed_a_run_keeps_the_best_from_before(tmp_path, best, stop):
    history, model = train(tmp_path, **OVERFIT, on_step=stop_at(stop))
    last = bits_per_char(model, HELD_OUT, context=TRAIN)
    assert (
        stop == 8 or last > history.best["held_out_bits"] + 0.05
    )  # until the end, the last weights are the model
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


def test_killed_and_resumed_a_run_keeps_the_best_from_before(tmp_path, best):
    def kill(step):
        if step == 30:
            raise SystemExit

    with pytest.raises(SystemExit):
        train(tmp_path, **OVERFIT, on_step=kill, checkpoint_seconds=0)
    assert steps_in(tmp_path) == 30
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


def test_an_interrupt_between_an_evaluation_and_its_weights_waits(tmp_path, best, monkeypatch):
    usual, evaluations, pressed = training.History.best.fget, best[1].evaluations, []
    number = evaluations.index(best[1].best) + 1

    def press_and_tell(history):
        if len(history.evaluations) == number and not pressed:
            pressed.append(number)
            signal.raise_signal(signal.SIGINT)
        return usual(history)

    monkeypatch.setattr(training.History, "best", property(press_and_tell))
    history, _ = train(tmp_path, **OVERFIT)
    assert pressed and not history.finished and len(history.evaluations) == number
    resumed = train(tmp_path, **OVERFIT)
    assert_scores_its_best(*resumed)
    assert_same_run(resumed, best[1:])


def test_a_checkpoint_from_before_the_best_were_kept_has_not_kept_them(tmp_path):
    train(tmp_path, on_step=stop_at(7))
    with np.load(tmp_path / "checkpoint.npz") as file:
        arrays = dict(file)
    note = json.loads(arrays.pop("note").tobytes())
    assert note["recipe"].pop("keep_best") is False
    np.savez(
        tmp_path / "checkpoint.npz",
        note=np.frombuffer(json.dumps(note).encode(), np.uint8),
        **arrays,
    )
    with pytest.raises(ValueError, match="a run with keep_best False, not True"):
        train(tmp_path, keep_best=True)
    history, _ = train(tmp_path)
    assert history.finished and len(history.train_bits) == STEPS


# --- interrupt and resume ---


@pytest.mark.parametrize(
    "stops", [(1,), (7, 8), (EPOCH,), (EPOCH + 1,), (STEPS - 1,), (STEPS,)], ids=str
)
def test_resumed_after_an_interrupt_equals_uninterrupted(tmp_path, whole, stops):
    for stop in stops:
        history, model = train(tmp_path, on_step=stop_at(stop))
        assert len(history.train_bits) == stop and not history.finished
        assert all(
            np.array_equal(a, b)
            for a, b in zip(load_model(tmp_path)[0].get_weights(), model.get_weights(), strict=True)
        )
    resumed = train(tmp_path)
    assert resumed[0].finished
    assert_same_run(resumed, whole)


def test_resumed_a_run_does_without_the_same_weights(tmp_path):
    train(tmp_path, weight_dropout=0.3, on_step=stop_at(7))
    assert_same_run(train(tmp_path, weight_dropout=0.3), train(weight_dropout=0.3))


def test_an_interrupt_in_the_middle_of_a_step_waits_for_its_end(tmp_path, whole, monkeypatch):
    usual = training.make_train_step

    def make_train_step(*arguments):
        step, taken = usual(*arguments), []

        def with_stop_button(*batch):
            result = step(*batch)
            taken.append(result)
            if len(taken) == 6:
                signal.raise_signal(signal.SIGINT)
            return result

        return with_stop_button

    monkeypatch.setattr(training, "make_train_step", make_train_step)
    handler = signal.getsignal(signal.SIGINT)
    history, _ = train(tmp_path)
    assert len(history.train_bits) == 6 and not history.finished
    assert signal.getsignal(signal.SIGINT) is handler
    monkeypatch.setattr(training, "make_train_step", usual)
    assert_same_run(train(tmp_path), whole)


def test_an_interrupt_in_an_evaluation_loses_nothing(tmp_path, whole, monkeypatch):
    usual, calls = training.generate, []

    def generate(*arguments, **options):
        calls.append(arguments)
        if len(calls) in (1, 3):
            raise KeyboardInterrupt
        return usual(*arguments, **options)

    monkeypatch.setattr(training, "generate", generate)
    history, _ = train(tmp_path)
    assert (history.train_bits, history.evaluations) == ([], [])
    assert len(train(tmp_path)[0].evaluations) == 1
    assert_same_run(train(tmp_path), whole)


def test_an_interrupt_without_a_folder_leaves_a_usable_model(whole):
    history, model = train(on_step=stop_at(4))
    np.testing.assert_allclose(history.train_bits, whole[0].train_bits[:4], atol=1e-4)
    assert 0 < bits_per_char(model, HELD_OUT) < 10


def test_resumed_with_fewer_evaluations_is_scored_at_the_end(tmp_path):
    train(tmp_path, evaluations=20, on_step=stop_at(15))
    history, model = train(tmp_path, evaluations=2)
    assert history.evaluations[-1]["step"] == STEPS
    assert history.held_out_bits == pytest.approx(
        bits_per_char(model, HELD_OUT, context=TRAIN), abs=1e-5
    )


def test_a_minutes_budget_counts_what_was_spent_before(tmp_path):
    history, _ = train(tmp_path, minutes=1e3, on_step=stop_at(2))
    spent = history.seconds
    history, _ = train(tmp_path, minutes=1e3, on_step=stop_at(4))
    assert len(history.train_bits) == 4 and history.seconds > spent > 0


def test_a_checkpoint_is_as_old_as_asked_for_at_most(tmp_path, monkeypatch):
    # A clock on which each step takes a second.
    now = [0.0]
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    kept = []

    def on_step(step):
        now[0] += 1
        kept.append(steps_in(tmp_path) if (tmp_path / "checkpoint.npz").exists() else 0)

    train(tmp_path, checkpoint_seconds=5, on_step=on_step)
    lost = np.arange(1, STEPS + 1) - kept
    assert lost.max() == 6 and len(set(kept)) == 4  # never at all, and after 7, 13 and 19 steps


def test_a_finished_run_is_loaded_and_not_trained_again(finished, capsys):
    folder, history, model = finished
    before = (folder / "checkpoint.npz").stat().st_mtime_ns
    again, fresh = train(folder, on_step=lambda step: pytest.fail("trained"))
    assert again == history and again.finished
    assert all(
        np.array_equal(a, b) for a, b in zip(fresh.get_weights(), model.get_weights(), strict=True)
    )
    assert (folder / "checkpoint.npz").stat().st_mtime_ns == before


def test_a_finished_run_is_a_model_with_a_card(finished):
    folder, history, model = finished
    config, weights = read_model(folder)
    assert all(
        np.array_equal(a, b) for a, b in zip(weights.values(), model.get_weights(), strict=True)
    )
    assert (config["characters"], config["steps_taken"], config["recipe"]["batch_size"]) == (
        "abcdefgh",
        STEPS,
        2,
    )
    assert config["held_out_bits"] == round(history.held_out_bits, 4)
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.npz",
        "config.json",
        "weights.npz",
    ]


def test_killed_between_model_and_checkpoint_the_run_is_not_called_finished(
    tmp_path, whole, monkeypatch
):
    class Killed(Exception):
        pass

    def killed(*arguments):
        raise Killed

    for victim in ("save_model", "_save_checkpoint"):
        folder = tmp_path / victim
        train(folder, on_step=stop_at(9))
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(
                training,
                victim,
                killed if victim == "_save_checkpoint" else lambda *a, **k: killed(),
            )
            train(folder)
        resumed = train(folder)
        assert_same_run(resumed, whole)
        for a, b in zip(load_model(folder)[0].get_weights(), resumed[1].get_weights(), strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "name, change",
    [
        *(
            (name, {name: value})
            for name, value in {
                "steps": 24,
                "batch_size": 3,
                "seq_len": 7,
                "peak_rate": 0.1,
            }.items()
        ),
        *(
            (name, {name: value})
            for name, value in {"warmup_steps": 6, "clip_norm": None, "minutes": 1}.items()
        ),
        *(
            (name, {"sizes": {name: value}})
            for name, value in {"hidden_size": 9, "embedding_size": 5, "layers": 2}.items()
        ),
        *((name, {"sizes": {name: value}}) for name, value in {"dropout": 0.0, "seed": 1}.items()),
        ("weight_dropout", {"weight_dropout": 0.1}),
        ("keep_best", {"keep_best": True}),
        ("start_from", {"card": {"start_from": "elsewhere"}}),
        ("train_text", {"ids": TRAIN[::-1]}),
        ("vocabulary", {"vocab": Vocabulary("abcdefgx")}),
        ("vocabulary", {"vocab": Vocabulary("abcdefghi")}),
    ],
)
def test_another_recipe_is_refused_with_what_differs(finished, name, change):
    folder, history, model = finished
    before = (folder / "checkpoint.npz").read_bytes()
    with pytest.raises(ValueError, match=rf"holds a run with .*\b{name} .*, not .*restart=True"):
        train(folder, **change)
    assert (folder / "checkpoint.npz").read_bytes() == before


def test_restart_trains_anew(tmp_path, whole):
    train(tmp_path, sizes={"seed": 5}, steps=4)
    assert_same_run(train(tmp_path, restart=True), whole)
    assert_same_run(train(tmp_path), whole)
    assert load_model(tmp_path)[0].count_params() == whole[1].count_params()


def damage(path, how):
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    if how in ("no note", "bad note"):
        note = {} if how == "no note" else {"note": np.frombuffer(b'{"recipe": ', np.uint8)}
        np.savez(path, **{name: value for name, value in arrays.items() if name != "note"} | note)
    else:
        path.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "text": b"hello",
                "pickle": pickle.dumps([1]),
            }[how]
        )


@pytest.mark.parametrize("how", ["empty", "half", "text", "pickle", "no note", "bad note"])
def test_a_damaged_checkpoint_is_told(finished, tmp_path, how):
    shutil.copy(finished[0] / "checkpoint.npz", tmp_path)
    damage(tmp_path / "checkpoint.npz", how)
    with pytest.raises(ValueError, match=r"checkpoint in .* cannot be read .* delete it"):
        train(tmp_path)


def test_a_damaged_checkpoint_does_not_hinder_a_restart(tmp_path):
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    assert train(tmp_path, steps=2, restart=True)[0].finished


def test_a_folder_that_cannot_be_had_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError):
            train(folder, on_step=lambda step: pytest.fail("trained"))


# --- numbers that are none ---


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match="lower peak_rate"):
        train(tmp_path, peak_rate=1e38, clip_norm=None, steps=200, checkpoint_seconds=0)
    read_model(tmp_path)  # refuses what is no number
    with np.load(tmp_path / "checkpoint.npz") as file:
        assert steps_in(tmp_path) >= 1 and all(
            np.isfinite(file[name]).all() for name in file.files if name.startswith("model")
        )


@pytest.mark.parametrize("spoilt_at", [4, STEPS])
def test_spoilt_weights_are_never_saved(tmp_path, monkeypatch, spoilt_at):
    usual = training.make_train_step

    def make_train_step(*arguments):
        step, taken = usual(*arguments), []

        def spoil(*batch):
            result = step(*batch)
            taken.append(result)
            if len(taken) == spoilt_at:  # the loss is still that of the weights before
                arguments[0].trainable_variables[-1].assign(np.full(8, np.nan))
            return result

        return spoil

    monkeypatch.setattr(training, "make_train_step", make_train_step)
    with pytest.raises(FloatingPointError, match=f"not finite at step {spoilt_at}"):
        train(tmp_path, checkpoint_seconds=0)
    assert steps_in(tmp_path) == spoilt_at - 1
    read_model(tmp_path)
    with pytest.raises(FloatingPointError, match=f"not finite at step {min(spoilt_at + 1, STEPS)}"):
        train()  # at the next loss, or at the end


# --- the command ---

TEXT = "".join(np.random.default_rng(5).choice(["the ", "cat ", "sat ", "on ", "a ", "mat\n"], 600))
LAST_LINE = re.compile(r"bits per character on held-out text: (\d\.\d{3})")


@pytest.fixture
def command(tmp_path):
    """Return a function that makes the arguments of a tiny run on a text of one's own."""
    (tmp_path / "own.txt").write_text(TEXT, encoding="utf-8")

    def arguments(folder, **options):
        sizes = {
            "hidden_size": 8,
            "embedding_size": 4,
            "batch_size": 2,
            "seq_len": 8,
            "evaluations": 2,
            "steps": 20,
        }
        options = {"corpus": tmp_path / "own.txt", "out": tmp_path / folder} | sizes | options
        return [
            word
            for key, value in options.items()
            if value is not None
            for word in (f"--{key.replace('_', '-')}", str(value))
        ]

    return arguments


def test_command_trains_and_says_the_bits(command, tmp_path, capsys):
    assert training.main(command("run")) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    bits = float(LAST_LINE.fullmatch(last)[1])
    model, vocab = load_model(tmp_path / "run")
    text, held_out = split_tail(load_corpus(tmp_path / "own.txt"))
    assert bits == pytest.approx(
        bits_per_char(model, vocab.encode(held_out), context=vocab.encode(text)), abs=6e-4
    )
    assert training.main(command("run")) == 0
    out = capsys.readouterr().out
    assert "finished already, after 20 steps" in out and out.splitlines()[-1] == last
    assert training.main([*command("run", seed=1), "--restart"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] != last
    config, _ = read_model(tmp_path / "run")
    assert config["seed"] == 1 and config["corpus"].endswith("own.txt")


@pytest.mark.parametrize("budget", [{"epochs": 1}, {"minutes": 1e-4}])
def test_command_knows_the_other_budgets(command, capsys, budget):
    assert training.main(command("run", steps=None, **budget)) == 0
    assert LAST_LINE.fullmatch(capsys.readouterr().out.splitlines()[-1])


def test_command_starts_from_another_model(command, tmp_path, capsys):
    training.main(command("first", steps=150, peak_rate=0.05))
    first = LAST_LINE.search(capsys.readouterr().out)[1]
    training.main(command("second", start_from=tmp_path / "first", steps=1))
    assert f"step     0  held-out {first} bits/char" in capsys.readouterr().out


def test_command_goes_on_from_a_model_that_lacks_characters_of_the_new_text(
    command, tmp_path, capsys
):
    training.main(command("first", dropout=0.25))
    before = (tmp_path / "first" / "weights.npz").read_bytes()
    (tmp_path / "new.txt").write_text(TEXT.replace("cat", "żółw"), encoding="utf-8")
    options = {"start_from": tmp_path / "first", "corpus": tmp_path / "new.txt"}
    options |= {"dropout": 0.0, "weight_dropout": 0.125}
    assert training.main(command("second", hidden_size=99, **options)) == 0
    (first, _), (second, weights) = read_model(tmp_path / "first"), read_model(tmp_path / "second")
    assert second["characters"] == first["characters"] + "wółż"
    assert len(weights["dense.bias"]) == len(second["characters"])
    assert (second["start_from"], second["recipe"]["start_from"]) == (str(tmp_path / "first"),) * 2
    assert [second[key] for key in ("hidden_size", "dropout")] == [8, 0]
    assert [config["recipe"]["weight_dropout"] for config in (first, second)] == [0, 0.125]
    assert (tmp_path / "first" / "weights.npz").read_bytes() == before
    said = capsys.readouterr().out.splitlines()[-1]
    assert training.main(command("second", **options)) == 0  # taken up again
    assert capsys.readouterr().out.splitlines()[-1] == said
    shutil.copytree(tmp_path / "first", tmp_path / "third")
    with pytest.raises(ValueError, match="holds a run with start_from .*first', not .*third'"):
        training.main(command("second", **options | {"start_from": tmp_path / "third"}))


def test_command_keeps_the_best(command, tmp_path, capsys):
    (tmp_path / "own.txt").write_text(
        "".join(np.random.default_rng(0).choice(list("abcdefgh"), 300))
    )
    options = {"steps": 60, "peak_rate": 0.1, "dropout": 0.0, "evaluations": 6}
    assert training.main([*command("run", **options), "--keep-best"]) == 0
    out = capsys.readouterr().out
    scores = [float(bits) for bits in re.findall(r"held-out (\d+\.\d{3}) bits/char", out)]
    assert float(LAST_LINE.fullmatch(out.splitlines()[-1])[1]) == min(scores) < scores[-1]
    model, vocab = load_model(tmp_path / "run")
    text, held_out = map(vocab.encode, split_tail(load_corpus(tmp_path / "own.txt")))
    assert bits_per_char(model, held_out, context=text) == pytest.approx(min(scores), abs=6e-4)


def wait_for_steps(process, folder, steps):
    while not (folder / "checkpoint.npz").exists() or steps_in(folder) < steps:
        assert process.poll() is None, "ended before it could be stopped"
        time.sleep(0.005)


def test_killed_and_interrupted_the_command_goes_on_as_if_nothing_had_been(
    command, tmp_path, capfd
):
    options, folder = {"steps": 400, "dropout": 0.3}, tmp_path / "broken"
    start = [
        sys.executable,
        "-m",
        "helpers.training",
        *command("broken", **options),
        "--checkpoint-seconds",
        "0",
    ]
    with subprocess.Popen(start, cwd=ROOT, stdout=subprocess.DEVNULL) as killed:
        wait_for_steps(killed, folder, 5)
        killed.kill()
    kept = steps_in(folder)
    assert 5 <= kept < 400
    with subprocess.Popen(
        start, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as interrupted:
        wait_for_steps(interrupted, folder, kept + 5)
        interrupted.send_signal(signal.SIGINT)
        out = interrupted.communicate()[0]
    assert interrupted.returncode == 130
    assert f"goes on, after {kept} steps" in out
    assert f"Stopped after {steps_in(folder)} steps: the model is usable." in out
    assert capfd.readouterr().err == ""  # neither a traceback nor TensorFlow's greeting
    load_model(folder)
    assert steps_in(folder) < 400
    for name in ("broken", "whole"):
        assert training.main(command(name, **options)) == 0
    assert len(set(LAST_LINE.findall(capfd.readouterr().out))) == 1

    def result(name):
        with np.load(tmp_path / name / "checkpoint.npz") as file:
            history = training.History(**json.loads(file["note"].tobytes())["history"])
        return history, load_model(tmp_path / name)[0]

    assert_same_run(result("broken"), result("whole"))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"corpus": "nowhere.txt"}, "There is no text file"),
        ({"corpus": "binary.bin"}, "is no plain text"),
        ({"corpus": "empty.txt"}, "is empty"),
        ({"corpus": "ten.txt"}, "9 characters is too short for 2 streams of 8"),
        ({"out": "own.txt"}, "File exists"),
        ({"start_from": "nowhere"}, "no model in 'nowhere'"),
        ({"steps": None}, "exactly one budget"),
        ({"epochs": 2}, "exactly one budget"),
        ({"steps": -5}, "positive number"),
        ({"out": "torn"}, "cannot be read"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_command_says_in_a_line_what_is_wrong(
    command, tmp_path, monkeypatch, capsys, change, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.bin").write_bytes(bytes(range(256)))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "ten.txt").write_text("abcdefghij")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "checkpoint.npz").write_bytes(b"PK")
    monkeypatch.setattr(sys, "argv", ["training", *command("run", **change)])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("helpers.training", run_name="__main__")
    assert re.fullmatch(
        f"helpers.training: .*{message}.*", end.value.code
    )  # Python prints it and exits with 1
    assert "bits per character on held-out" not in capsys.readouterr().out


def test_command_fails_with_a_line_and_a_code(tmp_path):
    start = [
        sys.executable,
        "-m",
        "helpers.training",
        "--corpus",
        "nowhere.txt",
        "--out",
        str(tmp_path / "run"),
        "--steps",
        "1",
    ]
    run = subprocess.run(start, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.fullmatch(r"helpers.training: There is no text file .*nowhere.txt\n", run.stderr)
    assert not (tmp_path / "run").exists()
