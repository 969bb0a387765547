"""The recall task, and a reader that is trained on it."""

import numpy as np
import pytest

from helpers.cells import LSTMCell, RNNCell, finite_differences
from helpers.recall import COUNTRIES, FILLERS, LANGUAGES, WORDS, Reader, sentences, train


@pytest.fixture(params=[RNNCell, LSTMCell])
def kind(request):
    return request.param


def recall_reader(kind, **options):
    return Reader(kind, len(WORDS), len(COUNTRIES), **options)


def recall_batches(gap=2, count=32, seed=1):
    rng = np.random.default_rng(seed)
    return lambda: sentences(gap, count, rng)


def in_double(reader):
    """Cast a reader's weights, so that differences as small as 1e-6 can be seen."""
    for part, names in (
        (reader.cell, ("kernel", "recurrent_kernel", "bias")),
        (reader, ("out_kernel", "out_bias")),
    ):
        for name in names:
            setattr(part, name, getattr(part, name).astype(np.float64))
    return reader


def copied(weights):
    return [weight.copy() for weight in weights]


class Bowl:
    """Stands in for a reader: two weights, and a loss that is least where both are 0."""

    def __init__(self, size):
        self.weights = [np.full(3, size), np.array([[-2.0 * size]])]

    def gradients(self):
        return (
            0.5 * sum(float((weight**2).sum()) for weight in self.weights),
            copied(self.weights),
            None,
        )


# --- sentences ---


def test_every_word_stands_once_and_is_reached():
    assert (
        COUNTRIES == list(LANGUAGES)
        and len(set(LANGUAGES.values())) == len(COUNTRIES) == 8
        and len(set(WORDS)) == len(WORDS) == 26
    )
    ids, answers = sentences(3, 2000, np.random.default_rng(0))
    assert set(ids.flat) == set(range(26)) and set(answers) == set(range(8))


@pytest.mark.parametrize("gap", [0, 1, 2, 3, 7, 40])
def test_a_sentence_is_a_country_fillers_in_turn_and_the_question(gap):
    ids, answers = sentences(gap, 300, np.random.default_rng(0))
    assert (
        ids.shape == (300, gap + 3)
        and answers.shape == (300,)
        and ids.dtype.kind == answers.dtype.kind == "i"
    )
    for row, answer in zip(ids, answers, strict=True):
        opening, country, *fillers, last = [WORDS[i] for i in row]
        assert (opening, country, last) == ("in", COUNTRIES[answer], "fluent")
        assert all(word in FILLERS[place % 3] for place, word in enumerate(fillers))


@pytest.mark.parametrize("place", range(6))
def test_countries_and_fillers_are_uniform_and_say_nothing_of_each_other(place):
    ids, answers = sentences(6, 12_000, np.random.default_rng(0))
    kind = FILLERS[place % 3]
    for other, size in ((answers, len(COUNTRIES)), (ids[:, 2 + (place + 3) % 6], len(kind))):
        fillers = ids[:, 2 + place]
        counts = np.unique(np.stack([other, fillers]), axis=1, return_counts=True)[1]
        expected = len(ids) / size / len(kind)
        assert len(counts) == size * len(kind) and abs(counts - expected).max() < 5 * np.sqrt(
            expected
        )


def test_a_seed_fixes_the_sentences_and_a_generator_goes_on():
    first, again, other = (recall_batches(5, 20, seed) for seed in (1, 1, 2))
    ids = first()[0]
    assert (
        np.array_equal(ids, again()[0])
        and not np.array_equal(ids, other()[0])
        and not np.array_equal(ids, first()[0])
    )


def test_a_negative_gap_is_refused():
    with pytest.raises(ValueError, match="0 or more, not -1"):
        sentences(-1, 2, np.random.default_rng(0))


# --- the reader ---


def test_probabilities_sum_to_one_and_rows_are_read_apart(kind):
    reader, ids = recall_reader(kind, kernel_std=2.0), recall_batches(4, 50)()[0]
    p = reader.probabilities(ids)
    assert p.shape == (50, 8) and p.min() > 0
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(reader.probabilities(ids[7:8]), p[7:8], atol=1e-6)


def test_every_word_and_their_order_count(kind):
    reader, ids = in_double(recall_reader(kind, kernel_std=1.0)), recall_batches(3, 1)()[0]
    changed = [ids.copy() for _ in range(ids.shape[1])]
    for place, other in enumerate(changed):
        other[0, place] = (other[0, place] + 1) % len(WORDS)
    for other in (*changed, ids[:, [0, 1, 3, 2, 4, 5]]):
        assert abs(reader.probabilities(other) - reader.probabilities(ids)).max() > 1e-6


def test_a_reader_that_is_very_sure_stays_finite(kind):
    reader, (ids, answers) = recall_reader(kind, kernel_std=2.0), recall_batches()()
    reader.out_kernel *= 1e4
    loss, gradients, _ = reader.gradients(ids, answers)
    np.testing.assert_allclose(reader.probabilities(ids).sum(axis=1), 1, atol=1e-6)
    assert 10 < loss < 80 and all(np.isfinite(gradient).all() for gradient in gradients)


def test_accuracy_is_the_share_of_right_answers(kind):
    reader, ids = recall_reader(kind, kernel_std=2.0), recall_batches(3, 40)()[0]
    answers = reader.probabilities(ids).argmax(axis=1)
    assert [
        reader.accuracy(ids, (answers + (np.arange(40) < wrong)) % 8) for wrong in (0, 10, 40)
    ] == [1.0, 0.75, 0.0]


@pytest.mark.parametrize("time", [1, 4])
def test_gradients_equal_finite_differences(kind, time):
    reader, rng = (
        in_double(Reader(kind, 5, 4, hidden_size=3, kernel_std=1.0)),
        np.random.default_rng(2),
    )
    ids, answers = rng.integers(5, size=(6, time)), rng.integers(4, size=6)

    def mean_loss():
        return -np.log(reader.probabilities(ids)[np.arange(6), answers]).mean()

    loss, gradients, inner = reader.gradients(ids, answers)
    assert (
        loss == pytest.approx(mean_loss(), abs=1e-12) and len(gradients) == len(reader.weights) == 5
    )
    assert all(a is b for a, b in zip(gradients, inner.weights, strict=False)) and inner.states[
        "hidden"
    ].shape == (6, time, 3)
    for weight, gradient in zip(reader.weights, gradients, strict=True):
        np.testing.assert_allclose(
            gradient, finite_differences(mean_loss, weight), rtol=0, atol=1e-9
        )


def test_a_quiet_reader_knows_nothing_at_the_start(kind):
    assert recall_reader(kind).gradients(*recall_batches(10, 500)())[0] == pytest.approx(
        np.log(8), abs=0.15
    )


@pytest.mark.parametrize("kernel_std", [None, 0.5, 2.0])
def test_the_size_of_the_weights_at_the_start(kind, kernel_std):
    reader = recall_reader(kind, hidden_size=64, kernel_std=kernel_std)
    assert reader.cell.kernel.std() == pytest.approx(
        kernel_std or np.sqrt(2 / (len(WORDS) + 64 * kind.gates)), rel=0.07
    )
    assert (
        reader.out_kernel.std() == pytest.approx(np.sqrt(2 / (64 + 8)), rel=0.07)
        and not reader.out_bias.any()
    )
    assert {weight.dtype for weight in reader.weights} == {np.dtype(np.float32)}


def test_seed_and_options_reach_the_cell(kind):
    kernels = [recall_reader(kind, seed=seed).cell.kernel for seed in (3, 3, 4)]
    assert np.array_equal(*kernels[:2]) and not np.array_equal(*kernels[1:])
    assert recall_reader(LSTMCell, hidden_size=2, forget_bias=-3.0).cell.bias.tolist() == [
        0,
        0,
        -3,
        -3,
        0,
        0,
        0,
        0,
    ]


# --- training ---


def test_one_step_of_adam_by_hand(kind):
    reader, batch = in_double(recall_reader(kind, kernel_std=1.0)), recall_batches()()
    before = copied(reader.weights)
    loss, gradients, _ = reader.gradients(*batch)
    assert train(reader, lambda: batch, steps=1, rate=0.01, clip=1e9) == [loss]
    for old, new, g in zip(before, reader.weights, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.01 * g / (np.abs(g) + 1e-7), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "size, clip, rate",
    [(1.0, 1e9, 0.1), (1.0, 1.0, 0.1), (8.0, 10.0, 3.0)],
    ids=["free", "clipped", "at first"],
)
def test_steps_equal_those_of_keras(size, clip, rate):
    from helpers.backend import keras

    bowl, variables = (
        Bowl(size),
        [keras.Variable(weight, dtype="float64") for weight in Bowl(size).weights],
    )
    optimizer = keras.optimizers.Adam(rate, epsilon=1e-7, global_clipnorm=clip)
    losses = train(bowl, lambda: (), steps=8, rate=rate, clip=clip)
    for _ in range(8):
        optimizer.apply([variable.value for variable in variables], variables)
    for weight, variable in zip(bowl.weights, variables, strict=True):
        np.testing.assert_allclose(
            weight, variable.numpy(), rtol=0, atol=2e-4 * rate
        )  # Keras keeps 0.999 in 32 bits
    assert len(losses) == 8 and losses[-1] < losses[0] == 3.5 * size**2


@pytest.mark.parametrize("clip", [1e9, 2.7, 1e-7, 1e-9])
def test_clipping_limits_all_gradients_together(clip):
    bowl = Bowl(1.0)  # the norm of its gradients is the root of 7, 2.65
    train(bowl, lambda: (), steps=1, rate=0.1, clip=clip)
    for old, new in zip(Bowl(1.0).weights, bowl.weights, strict=True):
        g = np.abs(old) * min(1, clip / np.sqrt(7))
        np.testing.assert_allclose(np.abs(new - old), 0.1 * g / (g + 1e-7), rtol=1e-5)


def test_training_in_place_lowers_the_loss_and_draws_a_batch_for_each_step(kind):
    reader, draw, drawn = recall_reader(kind, kernel_std=2.0), recall_batches(), []
    weights, before = reader.weights, copied(reader.weights)
    losses = train(reader, lambda: drawn.append(draw()) or drawn[-1], steps=60, rate=1e-2)
    assert len(losses) == len(drawn) == 60 and all(type(loss) is float for loss in losses)
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    assert all(
        now is then and now.dtype == np.float32
        for now, then in zip(reader.weights, weights, strict=True)
    )
    assert not any(np.array_equal(now, then) for now, then in zip(weights, before, strict=True))


def test_no_steps_change_nothing(kind):
    reader = recall_reader(kind)
    assert train(reader, None, steps=0, rate=1.0) == []
    assert all(
        np.array_equal(now, then)
        for now, then in zip(reader.weights, recall_reader(kind).weights, strict=True)
    )


def test_the_same_seeds_train_the_same_reader(kind):
    twins = [recall_reader(kind, kernel_std=2.0) for _ in range(3)]
    losses = [
        train(twin, recall_batches(seed=seed), steps=20, rate=1e-2)
        for twin, seed in zip(twins, (1, 1, 2), strict=True)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert all(
        np.array_equal(a, b) for a, b in zip(twins[0].weights, twins[1].weights, strict=True)
    )


def test_a_short_gap_is_learned(kind):
    reader = recall_reader(kind, kernel_std=2.0)
    train(reader, recall_batches(2), steps=300, rate=1e-2)
    assert reader.accuracy(*recall_batches(2, 1000, seed=9)()) > 0.95
