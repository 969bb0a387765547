"""The LSTM cell in NumPy computes what Keras's does."""

import warnings

import numpy as np
import pytest

from helpers.cells import LSTMCell, sigmoid

SHAPES = [(1, 1, 1, 1), (1, 7, 3, 5), (4, 1, 6, 2), (3, 20, 2, 8), (5, 60, 16, 16)]  # batch, time, input_size, hidden_size


def random_cell(input_size, hidden_size, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shapes = (input_size, 4 * hidden_size), (hidden_size, 4 * hidden_size), (4 * hidden_size,)
    return LSTMCell(*(rng.normal(size=shape).astype(dtype) for shape in shapes))


def random_inputs(batch, time, input_size, hidden_size, dtype=np.float32, seed=1):
    rng = np.random.default_rng(seed)
    shapes = (batch, time, input_size), (batch, hidden_size), (batch, hidden_size)
    x, *state = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return x, tuple(state)


# --- against Keras ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given_state", [False, True])
def test_forward_equals_keras(shape, given_state):
    from helpers.models import keras

    batch, time, input_size, hidden_size = shape
    x, state = random_inputs(*shape)
    state = state if given_state else None
    layer = keras.layers.LSTM(hidden_size, return_sequences=True, return_state=True)
    layer.build((batch, time, input_size))
    layer.set_weights([np.random.default_rng(2).normal(size=w.shape) for w in layer.get_weights()])  # no bias left at 0 or 1
    expected, *expected_state = layer(x, initial_state=state and list(state))
    hidden, new_state = LSTMCell.from_keras(layer).forward(x, state)
    assert hidden.shape == (batch, time, hidden_size) and hidden.dtype == np.float32
    np.testing.assert_allclose(hidden, expected, atol=1e-5)
    np.testing.assert_allclose(new_state, expected_state, atol=1e-5)


def test_from_keras_copies():
    from helpers.models import keras

    layer = keras.layers.LSTM(3)
    layer.build((1, 1, 2))
    cell = LSTMCell.from_keras(layer)
    before = cell.kernel.copy()
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    assert np.array_equal(cell.kernel, before) and before.any()


# --- one step by hand -------------------------------------------------------------------------------------------------


def test_a_step_by_hand():
    # One unit, and weights that make each gate differ: i = s(1), f = s(2), g = tanh(3), o = s(4), with s the sigmoid.
    cell = LSTMCell(np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros((1, 4)), np.zeros(4))
    hidden, (last, memory) = cell.forward(np.ones((1, 1, 1)), (np.array([[0.0]]), np.array([[0.5]])))
    by_hand = 0.5 / (1 + np.exp(-2)) + np.tanh(3) / (1 + np.exp(-1))
    assert memory[0, 0] == pytest.approx(by_hand, abs=1e-12)
    assert hidden[0, 0, 0] == last[0, 0] == pytest.approx(np.tanh(by_hand) / (1 + np.exp(-4)), abs=1e-12)


# --- time and batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_step_by_step_equals_forward(shape):
    cell = random_cell(*shape[2:], dtype=np.float64)
    x, start = random_inputs(*shape, dtype=np.float64)
    hidden, end = cell.forward(x, start)
    state = start
    for t in range(x.shape[1]):
        state = cell.step(cell.project(x[:, t]), state)
        np.testing.assert_allclose(state[0], hidden[:, t], atol=1e-12)
    np.testing.assert_allclose(state, end, atol=1e-12)


def test_two_halves_with_the_state_carried_equal_the_whole():
    cell = random_cell(3, 4, np.float64)
    x, start = random_inputs(2, 11, 3, 4, np.float64)
    whole, end = cell.forward(x, start)
    first, middle = cell.forward(x[:, :5], start)
    second, end_again = cell.forward(x[:, 5:], middle)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-12)
    np.testing.assert_allclose(end_again, end, atol=1e-12)
    assert abs(cell.forward(x[:, 5:])[0] - second).max() > 1e-3  # the state matters


def test_rows_of_a_batch_do_not_meet():
    cell = random_cell(3, 4, np.float64)
    x, state = random_inputs(5, 6, 3, 4, np.float64)
    order = [3, 0, 4, 1, 2]
    hidden, end = cell.forward(x, state)
    shuffled, shuffled_end = cell.forward(x[order], (state[0][order], state[1][order]))
    np.testing.assert_allclose(shuffled, hidden[order], atol=1e-12)
    np.testing.assert_allclose(shuffled_end, [part[order] for part in end], atol=1e-12)


def test_nothing_read_changes_nothing():
    cell = random_cell(3, 4)
    x, state = random_inputs(2, 0, 3, 4)
    hidden, end = cell.forward(x, state)
    assert hidden.shape == (2, 0, 4)
    assert np.array_equal(end, state)


def test_forward_leaves_its_arguments_alone():
    cell = random_cell(3, 4)
    x, state = random_inputs(2, 5, 3, 4)
    kept = [x.copy(), state[0].copy(), state[1].copy()]
    cell.forward(x, state)
    assert all(np.array_equal(a, b) for a, b in zip(kept, [x, *state], strict=True))


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_stays(dtype):
    cell = random_cell(3, 4, dtype)
    x, _ = random_inputs(2, 5, 3, 4, dtype)
    hidden, state = cell.forward(x)
    assert {hidden.dtype, state[0].dtype, state[1].dtype} == {np.dtype(dtype)}


def test_float64_is_not_float32_in_disguise():
    x, state = random_inputs(2, 30, 3, 4, np.float64)
    fine = random_cell(3, 4, np.float64).forward(x, state)[0]
    coarse = random_cell(3, 4, np.float32).forward(x.astype(np.float32))[0]
    assert not np.array_equal(fine, fine.astype(np.float32))
    assert coarse.dtype == np.float32


def test_sigmoid():
    x = np.linspace(-30, 30, 121)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x)), atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_never_overflows(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = sigmoid(np.array([-1000, 0, 1000, -np.inf, np.inf], dtype))
    assert values.tolist() == [0, 0.5, 1, 0, 1] and values.dtype == dtype


# --- shapes that do not fit -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kernel, recurrent_kernel, bias",
    [
        ((3, 8), (2, 8), (7,)),
        ((3, 8), (2, 8), (1, 8)),
        ((3, 9), (2, 8), (8,)),
        ((3, 8), (2, 9), (8,)),
        ((3, 8), (8, 8), (8,)),
        ((8,), (2, 8), (8,)),
    ],
)
def test_weights_that_do_not_fit_together_are_refused(kernel, recurrent_kernel, bias):
    with pytest.raises(ValueError, match="four gates, so its weights end in"):
        LSTMCell(np.zeros(kernel), np.zeros(recurrent_kernel), np.zeros(bias))


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 4), (2, 5, 3, 1), (2, 3, 5)])
def test_inputs_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, time, 3\)"):
        random_cell(3, 4).forward(np.zeros(shape))


@pytest.mark.parametrize("shapes", [[(2, 4), (2, 1)], [(2, 4), (1, 4)], [(3, 4), (3, 4)], [(4,), (4,)], [(2, 4)]])
def test_states_of_another_shape_are_refused(shapes):
    with pytest.raises(ValueError, match=r"two states of shape \(2, 4\)"):
        random_cell(3, 4).forward(np.zeros((2, 5, 3)), [np.zeros(shape) for shape in shapes])
