"""Training: recipe, schedule, what a step does, budgets and evaluations.

Bounds are in steps, or in seconds of a clock that the test moves: never in real seconds.
"""

import re
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from helpers import training
from helpers.backend import keras
from helpers.evaluation import bits_per_char
from helpers.models import build_char_model, load_model, zero_state
from helpers.runs import History, Recipe, freshly_started
from helpers.storage import read_model
from helpers.text import Vocabulary, make_streams
from helpers.training import learning_rate, make_train_step
from tests.runs import (
    EPOCH,
    HELD_OUT,
    OVERFIT,
    SIZES,
    STEPS,
    TRAIN,
    VOCAB,
    assert_same_run,
    assert_same_weights,
    assert_scores_its_best,
    bits_in_numpy,
    not_called,
    random_ids,
    steps_in,
    train,
)

# --- the recipe ---


@pytest.mark.parametrize(
    "budgets",
    [
        {},
        {"steps": 1, "epochs": 1},
        {"steps": 1, "minutes": 1},
        {"epochs": 1, "minutes": 1},
        {"steps": 1, "epochs": 1, "minutes": 1},
    ],
)
def test_a_recipe_has_exactly_one_budget(budgets):
    with pytest.raises(ValueError, match="exactly one budget"):
        Recipe(**budgets)


@pytest.mark.parametrize(
    "name, budget",
    [
        ("steps", 0),
        ("steps", -1),
        ("epochs", 0.01),  # less than one step
        ("epochs", -1),
        *(("minutes", minutes) for minutes in (0, -1, np.nan, np.inf)),
    ],
)
def test_a_budget_is_positive_and_finite(name, budget):
    with pytest.raises(ValueError, match="budget is a positive number"):
        train(**{name: budget})


@pytest.mark.parametrize(
    "sizes",
    [{"batch_size": 0}, {"seq_len": 0}, {"batch_size": -1, "seq_len": -1}, {"warmup_steps": 0}],
)
def test_sizes_are_at_least_one(sizes):
    name, size = next(iter(sizes.items()))
    with pytest.raises(
        ValueError, match=f"{name} should be a whole number, at least 1, not {size}"
    ):
        Recipe(steps=1, **sizes)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 2.5}, "steps should be a whole number"),
        ({"seq_len": 1.5}, "seq_len should be a whole number"),
        ({"clip_norm": 0}, "clip_norm should be positive or None"),
        ({"clip_norm": -1.0}, "clip_norm should be positive or None"),
        ({"peak_rate": np.nan}, "peak_rate should be 0 or more"),
        ({"peak_rate": -0.1}, "peak_rate should be 0 or more"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**{"steps": 1} | options)


@pytest.mark.parametrize("name", ["weight_dropout", "fresh_starts", "beta_1", "beta_2"])
@pytest.mark.parametrize("share", [-0.1, 1, 1.0, np.nan])
def test_shares_are_less_than_one(name, share):
    with pytest.raises(ValueError, match=f"{name} should be .* less than 1, not {share}"):
        Recipe(steps=1, **{name: share})
    assert getattr(Recipe(steps=1, **{name: 0.0}), name) == 0


def test_a_recipe_is_not_changed_but_replaced():
    recipe = Recipe(steps=5)
    with pytest.raises(FrozenInstanceError):
        recipe.steps = 6
    assert replace(recipe, steps=6) == Recipe(steps=6) != recipe
    with pytest.raises(ValueError, match="exactly one budget"):
        replace(recipe, epochs=1)
    assert {option.kw_only for option in fields(Recipe)} == {True}


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


def test_state_is_carried_from_batch_to_batch_and_reset_where_the_text_begins_again():
    # At a rate of zero, the losses are those of the first weights.
    history, model = train(sizes={"dropout": 0.0}, steps=2 * EPOCH, peak_rate=0.0)
    inputs, targets = make_streams(TRAIN, batch_size=2, seq_len=8)
    streams = [np.append(inputs[:, row].ravel(), targets[-1, row, -1]) for row in range(2)]
    bits = [bits_in_numpy(model, stream).reshape(EPOCH, 8).mean(axis=1) for stream in streams]
    np.testing.assert_allclose(history.train_bits, np.tile(np.mean(bits, axis=0), 2), atol=1e-4)


def test_training_learns():
    ids = np.tile(np.arange(8), 40)
    options = {"sizes": {"dropout": 0.0}, "steps": 150, "peak_rate": 0.05}
    history, _ = train(ids=ids, held_out=ids[:50], **options)
    assert history.train_bits[0] == pytest.approx(3, abs=1)  # log2 of the size of the alphabet
    assert history.train_bits[-1] < 0.5 and history.held_out_bits < 0.5


def test_clipping_reaches_the_optimizer():
    # Adam divides by the size of the gradients, so a small norm is felt only where they vanish
    # beside its epsilon.
    start = build_char_model(8, **SIZES).get_weights()

    def moved(clip_norm):
        end = train(steps=3, clip_norm=clip_norm)[1].get_weights()
        return max(abs(a - b).max() for a, b in zip(start, end, strict=True))

    assert moved(1e-12) < 1e-4 < 1e-3 < moved(None)


def test_the_means_that_adam_keeps_are_those_of_the_recipe():
    # With neither, each weight moves by the rate, up or down (its epsilon aside).
    options = {"sizes": {"dropout": 0.0}, "steps": 3, "warmup_steps": 1, "peak_rate": 1e-2}
    start = build_char_model(8, **SIZES).get_weights()

    def moved(**betas):
        end = train(**options, **betas)[1].get_weights()
        return [abs(a - b).max() for a, b in zip(start, end, strict=True)]

    rates = [learning_rate(step / 3, step, 1e-2, 1) for step in range(3)]
    assert max(moved(beta_1=0.0, beta_2=0.0)) == pytest.approx(sum(rates), rel=1e-3)
    ends = [moved(), moved(beta_1=0.5), moved(beta_2=0.5)]
    assert all(not np.allclose(one, other) for one in ends for other in ends if one is not other)


def test_same_seed_same_run(whole):
    # That a run with weight dropout repeats itself is tested in test_resume.py.
    assert_same_run(train(), whole)


def test_another_seed_or_dropout_is_another_run(whole, thinned):
    for other, _ in (train(sizes={"seed": 1}), train(sizes={"dropout": 0.0}), thinned):
        assert not np.allclose(other.train_bits, whole[0].train_bits, atol=1e-3)


class Gradients:
    """In the place of an optimizer: puts gradients where the weights were, and counts steps."""

    def __init__(self):
        self.iterations = keras.Variable(0, dtype="int64")

    def apply_gradients(self, pairs):
        self.iterations.assign_add(1)
        for gradient, variable in pairs:
            variable.assign(keras.ops.convert_to_tensor(gradient))


def one_batch(model, length=8):
    """Return the inputs, targets and state of a step that reads two streams of `length`."""
    text = random_ids(2 * length + 2).reshape(2, -1).astype(np.int32)
    return text[:, :-1], text[:, 1:], zero_state(model, 2)


RECURRENT = 2  # the recurrent kernel among the weights, after the embedding and the kernel


@pytest.fixture(scope="module")
def thin():
    """Hold a model, and its step without weight dropout."""
    model = build_char_model(8, hidden_size=32)
    return model, make_train_step(model, Gradients())


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5])
def test_a_step_drops_a_share_of_the_recurrent_weights_alone(thin, rate):
    model, (thin, thin_step) = build_char_model(8, hidden_size=32), thin
    weights, (inputs, targets, state) = model.get_weights(), one_batch(model)
    loss, *end = make_train_step(model, Gradients(), rate)(inputs, targets, state)
    gradients = model.get_weights()
    kept = gradients[RECURRENT] != 0
    assert 1 - kept.mean() == pytest.approx(rate, abs=rate / 10)
    # It is the step of a model that has all other weights, and of the recurrent ones the rest,
    # made larger to make up for it.
    scale = [1.0] * len(weights)
    scale[RECURRENT] = kept / (1 - rate)
    thin.set_weights([weight * factor for weight, factor in zip(weights, scale, strict=True)])
    streams = np.column_stack([inputs, targets[:, -1]])
    bits = [bits_in_numpy(thin, stream) for stream in streams]
    assert float(loss) == pytest.approx(np.mean(bits) * np.log(2), abs=1e-5)
    _, *same_end = thin_step(inputs, targets, state)
    np.testing.assert_allclose(end, same_end, atol=1e-5)
    for one, other, factor in zip(gradients, thin.get_weights(), scale, strict=True):
        np.testing.assert_allclose(one, other * factor, atol=1e-6)


def test_each_step_drops_other_weights():
    model = build_char_model(8, hidden_size=32)
    weights, step, masks = model.get_weights(), make_train_step(model, Gradients(), 0.5), []
    for _ in range(4):
        model.set_weights(weights)
        step(*one_batch(model))
        masks.append(model.get_weights()[RECURRENT] == 0)
    alike = [(one == other).mean() for i, one in enumerate(masks) for other in masks[:i]]
    assert alike == pytest.approx([0.5] * 6, abs=0.05)


def test_beside_it_each_step_drops_other_outputs():
    model = build_char_model(8, hidden_size=256, dropout=0.5)
    weights, step, masks = model.get_weights(), make_train_step(model, Gradients(), 0.5), []
    inputs, targets, state = one_batch(model, length=1)
    for _ in range(3):
        model.set_weights(weights)
        step(inputs[:1], targets[:1], [part[:1] for part in state])
        masks.append((model.get_weights()[-2] == 0).all(axis=1))  # of the output of one character
    assert [mask.mean() for mask in masks] == pytest.approx([0.5] * 3, abs=0.1)
    alike = [(masks[i] == masks[i - 1]).mean() for i in range(3)]
    assert alike == pytest.approx([0.5] * 3, abs=0.1)


def test_weight_dropout_changes_neither_scores_nor_weights():
    # At a rate of zero, all are those of the first weights, but for the losses in training.
    options = {"sizes": {"dropout": 0.0}, "peak_rate": 0.0}
    (plain, start), (history, model) = train(**options), train(**options, weight_dropout=0.5)
    assert history.curve() == plain.curve()
    assert abs(np.subtract(history.train_bits, plain.train_bits)).max() > 0.01
    assert_same_weights(start, model)


def test_fresh_starts_empty_whole_streams_a_share_of_them_others_at_each_step():
    state = [np.ones((2000, 3)), np.full((2000, 3), 2.0)]
    hidden, cell = freshly_started(state, 0.3, step=4)
    assert np.isin(hidden.mean(axis=1), [0, 1]).all() and (cell == 2 * hidden).all()
    assert hidden.mean() == pytest.approx(0.7, abs=0.05)
    assert (hidden != freshly_started(state, 0.3, step=5)[0]).any()
    assert (state[0] == 1).all()


def test_fresh_starts_are_trained_from_an_empty_state():
    # At a rate of zero, bits after the first step, which starts from nothing, tell the states.
    options = {"sizes": {"dropout": 0.0}, "peak_rate": 0.0}
    (plain, _), (fresh, _) = train(**options), train(**options, fresh_starts=0.999)
    assert plain.train_bits[0] == fresh.train_bits[0]
    assert abs(np.subtract(plain.train_bits, fresh.train_bits)).max() > 1e-4
    assert fresh.curve() == plain.curve()


def test_held_out_text_does_not_reach_the_weights(whole):
    history, model = train(held_out=np.zeros(77, np.int32))
    assert history.train_bits == whole[0].train_bits
    assert_same_weights(model, whole[1])
    assert history.held_out_bits != whole[0].held_out_bits


# --- texts ---


@pytest.mark.parametrize(
    "ids", [[], [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]], ids=["empty", "ten characters"]
)
def test_a_text_that_is_too_short_is_refused(ids):
    with pytest.raises(ValueError, match=f"{len(ids)} characters is too short for 2 streams of 8"):
        train(ids=np.array(ids, np.int32))


def test_ten_characters_will_do_for_one_short_stream():
    history, _ = train(ids=TRAIN[:10], batch_size=1, seq_len=4, steps=5)
    assert len(history.train_bits) == 5 and np.isfinite(history.train_bits).all()


def test_one_repeated_character():
    held_out = np.zeros(20, np.int32)
    history, model = train(vocab=Vocabulary("a"), ids=np.zeros(100, np.int32), held_out=held_out)
    assert history.train_bits == pytest.approx([0] * STEPS, abs=1e-6)
    assert history.held_out_bits == pytest.approx(0, abs=1e-6)
    assert history.evaluations[-1]["sample"] == "a" * 60
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    # One character of eight that the model knows:
    ids = np.zeros(161, np.int32)
    history, _ = train(ids=ids, held_out=held_out, steps=100, peak_rate=0.05)
    assert 2 < history.train_bits[0] and history.held_out_bits < 0.1


def test_no_held_out_text_is_refused():
    with pytest.raises(ValueError, match="nothing to score"):
        train(held_out=np.zeros(0, np.int32))


# --- budgets and evaluations ---


@pytest.mark.parametrize("epochs, steps", [(2, 2 * EPOCH), (0.5, 5)])
def test_epochs(idle, epochs, steps):
    history, _ = train(epochs=epochs)
    assert len(history.train_bits) == steps and history.finished


def test_minutes_end(idle):
    history, _ = train(minutes=0.2)  # 12 seconds, and each step takes one
    assert history.finished and history.seconds == 12 == len(history.train_bits)
    assert history.evaluations[-1]["step"] == 12
    assert history.curve("seconds")[0] == [0, 4, 8, 12]


@pytest.mark.parametrize(
    "evaluations, steps, expected",
    [
        (3, 12, [0, 4, 8, 12]),
        (1, 12, [0, 12]),
        (0, 3, [3]),
        (0, 12, [12]),
        (9, 3, [0, 1, 2, 3]),
        (3, 7, [0, 3, 5, 7]),
    ],
)
def test_evaluations_are_spread_evenly_and_end_with_the_run(idle, evaluations, steps, expected):
    history, _ = train(evaluations=evaluations, steps=steps)
    assert history.curve()[0] == expected
    assert history.held_out_bits == history.curve()[1][-1]
    seconds, bits = history.curve("seconds")
    assert seconds == sorted(seconds) and len(seconds) == len(bits) == len(expected)


def test_evaluations_score_the_model_and_show_what_it_writes(whole):
    history, model = whole
    bits = bits_per_char(model, HELD_OUT, context=TRAIN)
    assert history.held_out_bits == pytest.approx(bits, abs=1e-6)
    for evaluation in history.evaluations:
        assert len(evaluation["sample"]) == 60
        assert set(evaluation["sample"]) <= set(VOCAB.characters)


def test_the_progress_bar_shows_bits_and_samples(capsys, idle):
    train(steps=3, evaluations=1, progress_bar=True)
    out = capsys.readouterr().out
    assert re.search(r"step     0  held-out \d\.\d{3} bits/char  [a-h]+\n", out)
    assert re.search(r"3/3 .*bits/char", out)
    train(steps=3)
    assert capsys.readouterr().out == ""


# --- the best evaluation ---


def test_the_best_evaluation_is_the_first_with_the_fewest_bits():
    scores = enumerate([3.0, 2.5, 2.75, 2.5, 4.0])
    evaluations = [{"step": step, "held_out_bits": bits} for step, bits in scores]
    history = History(evaluations=evaluations)
    assert history.best == evaluations[1] and history.held_out_bits == 4.0


def test_the_best_weights_are_kept_and_not_the_last(best):
    folder, history, model = best
    assert history.finished and len(history.train_bits) == 40
    assert_scores_its_best(history, model)
    assert_same_weights(load_model(folder)[0], model)
    assert read_model(folder)[0]["held_out_bits"] == round(history.best["held_out_bits"], 4)
    assert_scores_its_best(*train(folder, **OVERFIT, on_step=not_called))
    # Keeping the best does not change what is measured.
    last, worse = train(**OVERFIT | {"keep_best": False})
    assert last.curve() == history.curve() and last.train_bits == history.train_bits
    bits = bits_per_char(worse, HELD_OUT, context=TRAIN)
    assert bits == pytest.approx(last.held_out_bits, abs=1e-5)


# --- numbers that are not finite ---


def test_a_loss_that_is_not_finite_ends_the_run_and_spares_the_checkpoint(tmp_path):
    with pytest.raises(FloatingPointError, match="lower peak_rate"):
        train(tmp_path, peak_rate=1e38, clip_norm=None, steps=200, checkpoint_seconds=0)
    read_model(tmp_path)  # refuses what is not finite
    assert steps_in(tmp_path) >= 1
    with np.load(tmp_path / "checkpoint.npz") as file:
        weights = [file[name] for name in file.files if name.startswith("model")]
    assert weights and all(np.isfinite(weight).all() for weight in weights)


@pytest.mark.parametrize("spoilt_at", [4, STEPS])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, monkeypatch, spoilt_at):
    def make_train_step(model, *options):
        step, taken = usual(model, *options), []

        def spoil(*batch):
            taken.append(step(*batch))
            if len(taken) == spoilt_at:  # the loss is still that of the weights before
                model.trainable_variables[-1].assign(np.full(8, np.nan))
            return taken[-1]

        return spoil

    usual = training.make_train_step
    monkeypatch.setattr(training, "make_train_step", make_train_step)
    with pytest.raises(FloatingPointError, match=f"not finite at step {spoilt_at}"):
        train(tmp_path, checkpoint_seconds=0)
    assert steps_in(tmp_path) == spoilt_at - 1
    read_model(tmp_path)
    # Without a folder, it is noticed at the next loss, or at the end.
    with pytest.raises(FloatingPointError, match=f"not finite at step {min(spoilt_at + 1, STEPS)}"):
        train()
