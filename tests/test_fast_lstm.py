"""The fast LSTM layer: the numbers of Keras's own, but for the rounding of its products."""

import numpy as np
import pytest

from helpers import fast_lstm
from helpers.backend import keras, tf
from helpers.evaluation import bits_per_char
from helpers.fast_lstm import FastLSTM
from helpers.models import adapt, build_char_model, describe, load_model, save_model
from helpers.sampling import CharLSTM
from tests.runs import HELD_OUT, SIZES, STEPS, TRAIN, VOCAB, assert_same_weights, train

UNITS, FEATURES = 8, 5
ROUNDED = 0.02  # bfloat16 has 8 bits: a product of rounded numbers is off by up to a percent
FAST = {"fast": True}
LOSSES = {
    "all": (1, 1, 1),
    "the outputs": (1, 0, 0),
    "the last states": (0, 1, 1),
    "the last hidden state": (0, 1, 0),
    "the last cell state": (0, 0, 1),
}


@pytest.fixture
def exact(monkeypatch):
    """Let the fast layer multiply in float32; its recurrent weights it has rounded before."""

    def product(a, b, **how):
        return tf.matmul(tf.cast(a, tf.float32), tf.cast(b, tf.float32), **how)

    monkeypatch.setattr(fast_lstm, "_product", product)


def random_arrays(*shapes, seed=0):
    """Return arrays of numbers that bfloat16 can hold."""
    rng = np.random.default_rng(seed)
    drawn = [rng.normal(size=shape, scale=0.7).astype(np.float32) for shape in shapes]
    return [tf.cast(tf.cast(array, tf.bfloat16), tf.float32) for array in drawn]


def layers():
    """Return Keras's layer and the fast one, with the same weights."""
    usual = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True)
    pair = usual, FastLSTM(UNITS)
    weights = random_arrays((FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,), seed=7)
    for layer in pair:
        layer.build((None, None, FEATURES))
        layer.set_weights(weights)
    return pair


def sequences(batch=3, time=11):
    """Return inputs and initial states."""
    return random_arrays((batch, time, FEATURES), (batch, UNITS), (batch, UNITS))


def pull(layer, inputs, hidden, cell, use=LOSSES["all"]):
    """Return outputs and states, and the gradients of a loss of them with respect to everything."""
    with tf.GradientTape() as tape:
        tape.watch([inputs, hidden, cell])
        outputs = layer(inputs, initial_state=[hidden, cell])
        used = [output for output, wanted in zip(outputs, use, strict=True) if wanted]
        # Every number counts, and each differently.
        loss = sum(tf.reduce_sum(tf.sin(3 * each) * each) for each in used)
    asked = [inputs, hidden, cell, *(variable.value for variable in layer.trainable_variables)]
    return outputs, tape.gradient(loss, asked, unconnected_gradients="zero")


def distance(numbers, others):
    """Return how far two lists of arrays are apart: for each, the share of its length."""
    pairs = [(np.asarray(a), np.asarray(b)) for a, b in zip(numbers, others, strict=True)]
    assert all(a.shape == b.shape and a.dtype == b.dtype for a, b in pairs)
    return [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in pairs]


# --- the layer ---


@pytest.mark.parametrize("use", LOSSES.values(), ids=LOSSES)
def test_with_exact_products_outputs_and_gradients_are_those_of_keras(exact, use):
    usual, fast = layers()
    expected, found = (pull(layer, *sequences(), use) for layer in (usual, fast))
    assert max(distance(found[0], expected[0])) < 1e-5
    assert len(found[1]) == 6 and max(distance(found[1], expected[1])) < 1e-5


@pytest.mark.parametrize("use", LOSSES.values(), ids=LOSSES)
def test_with_rounded_products_they_are_close(use):
    usual, fast = layers()
    expected, found = (pull(layer, *sequences(), use) for layer in (usual, fast))
    for numbers, others in zip(found, expected, strict=True):
        apart = distance(numbers, others)
        assert max(apart) < ROUNDED and min(apart) > 1e-5, apart  # it does round


@pytest.mark.parametrize("batch, time", [(1, 11), (3, 1), (1, 1), (2, 60)])
def test_batches_and_times_of_other_sizes(exact, batch, time):
    usual, fast = layers()
    expected, found = (pull(layer, *sequences(batch, time)) for layer in (usual, fast))
    for numbers, others in zip(found, expected, strict=True):
        assert max(distance(numbers, others)) < 2e-5


def test_compiled_once_it_reads_any_batch_and_time(exact):
    usual, fast = layers()
    shapes = [(None, None, FEATURES), (None, UNITS), (None, UNITS)]
    traced = []

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32) for shape in shapes])
    def compiled(*arguments):
        traced.append(arguments)
        return pull(fast, *arguments)

    for batch, time in ((3, 11), (1, 1), (5, 4)):
        expected, found = pull(usual, *sequences(batch, time)), compiled(*sequences(batch, time))
        for numbers, others in zip(found, expected, strict=True):
            assert max(distance(numbers, others)) < 1e-5
    assert len(traced) == 1


def test_two_halves_with_the_state_carried_equal_the_whole():
    fast, (inputs, *state) = layers()[1], sequences(time=10)
    whole, *end = fast(inputs, initial_state=state)
    first, *middle = fast(inputs[:, :4], initial_state=state)
    second, *end_again = fast(inputs[:, 4:], initial_state=middle)
    np.testing.assert_allclose(tf.concat([first, second], axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(end_again, end, atol=1e-6)


# --- the model ---


@pytest.mark.parametrize("seed", [0, 3])
def test_a_fast_model_starts_with_the_weights_of_the_usual(seed):
    usual, fast = (build_char_model(9, hidden_size=8, seed=seed, fast=how) for how in (False, True))
    assert_same_weights(usual, fast)
    assert [weight.name for weight in usual.weights] == [weight.name for weight in fast.weights]
    assert describe(fast) == describe(usual) | FAST and describe(usual)["fast"] is False
    kinds = [[type(layer) for layer in model.layers] for model in (fast, usual)]
    assert FastLSTM in kinds[0] and FastLSTM not in kinds[1]


@pytest.mark.parametrize(
    "options", [{}, {"weight_dropout": 0.3}, {"sizes": {"dropout": 0.0}}], ids=str
)
def test_a_fast_model_learns_as_the_usual_one(options):
    usual, model = train(**options, peak_rate=5e-3)
    sizes = dict(options.get("sizes", {})) | FAST
    fast, fast_model = train(**options | {"sizes": sizes}, peak_rate=5e-3)
    assert len(fast.train_bits) == STEPS
    np.testing.assert_allclose(fast.train_bits, usual.train_bits, atol=0.01)
    np.testing.assert_allclose(fast.curve()[1], usual.curve()[1], atol=0.01)
    assert fast.train_bits != usual.train_bits  # or it was not fast
    start = build_char_model(len(VOCAB), **SIZES).get_weights()
    for weight, other, before in zip(
        fast_model.get_weights(), model.get_weights(), start, strict=True
    ):
        assert np.linalg.norm(weight - other) < 0.1 * np.linalg.norm(other - before)


def test_of_a_fast_model_the_numpy_cell_says_the_same():
    model = build_char_model(len(VOCAB), **SIZES, **FAST)
    writer, usual = CharLSTM.from_keras(model, VOCAB), build_char_model(len(VOCAB), **SIZES)
    assert_same_weights(model, usual)
    assert writer.vocab == VOCAB
    bits = [bits_per_char(each, HELD_OUT, context=TRAIN) for each in (model, usual)]
    assert bits[0] == pytest.approx(bits[1], abs=0.01) and bits[0] != bits[1]


def test_adapting_switches_it_on_and_off_and_otherwise_leaves_it():
    usual = build_char_model(len(VOCAB), **SIZES)
    fast, vocab = adapt(usual, VOCAB, "", fast=True)
    assert describe(fast) == describe(usual) | FAST and vocab == VOCAB
    assert_same_weights(fast, usual)
    assert describe(adapt(fast, VOCAB, "xyz")[0])["fast"] is True
    again, _ = adapt(fast, VOCAB, "", fast=False)
    assert describe(again) == describe(usual)
    assert_same_weights(again, usual)


def test_a_loaded_model_is_never_fast(tmp_path):
    fast = build_char_model(len(VOCAB), **SIZES, **FAST)
    save_model(fast, VOCAB, tmp_path)
    model, _ = load_model(tmp_path)
    assert describe(model) == describe(fast) | {"fast": False}
    assert_same_weights(model, fast)


def test_a_fast_run_is_resumed_as_one_or_not_at_all(tmp_path):
    _, model = train(tmp_path, sizes=FAST, steps=2)
    history, again = train(tmp_path, sizes=FAST, steps=2)
    assert len(history.train_bits) == 2
    assert_same_weights(again, model)
    with pytest.raises(ValueError, match="holds a run with fast True, not False"):
        train(tmp_path, steps=2)
