"""The cells in NumPy compute what Keras's do, there and back."""

import copy
import warnings

import numpy as np
import pytest

from helpers.cells import LSTMCell, RNNCell, finite_differences, sigmoid

SHAPES = [
    (1, 1, 1, 1),
    (1, 7, 3, 5),
    (4, 1, 6, 2),
    (3, 20, 2, 8),
    (5, 60, 16, 16),
]  # batch, time, input_size, hidden_size
RANDOM_SHAPES = [
    tuple(row) for row in np.random.default_rng(0).integers(1, [4, 8, 5, 5], (10, 4)).tolist()
]


@pytest.fixture(params=[RNNCell, LSTMCell])
def kind(request):
    return request.param


def random_cell(kind, input_size, hidden_size, dtype=np.float64, seed=0):
    rng, width = np.random.default_rng(seed), kind.gates * hidden_size
    kernel, recurrent_kernel, bias = (
        rng.normal(size=shape) for shape in [(input_size, width), (hidden_size, width), (width,)]
    )
    return kind(
        kernel.astype(dtype),
        (recurrent_kernel / np.sqrt(hidden_size)).astype(dtype),
        bias.astype(dtype),
    )


def random_case(kind, shape, dtype=np.float64, seed=1):
    """Return a cell, inputs, a start state, and the d_hidden and d_state for `backward`."""
    batch, time, input_size, hidden_size = shape
    rng, states = np.random.default_rng(seed), len(kind.state_names)
    shapes = [(batch, time, input_size), (batch, time, hidden_size)] + 2 * states * [
        (batch, hidden_size)
    ]
    x, d_hidden, *parts = (rng.normal(size=shape).astype(dtype) for shape in shapes)
    return (
        random_cell(kind, input_size, hidden_size, dtype),
        x,
        tuple(parts[:states]),
        d_hidden,
        tuple(parts[states:]),
    )


def keras_layer(kind, input_size, hidden_size):
    from helpers.backend import keras

    layer = (keras.layers.SimpleRNN if kind is RNNCell else keras.layers.LSTM)(
        hidden_size, return_sequences=True, return_state=True
    )
    layer.build((1, 1, input_size))
    return layer


def arrays(value):
    """All arrays inside a Trace, Gradients, dict, list or tuple, in order."""
    if isinstance(value, np.ndarray):
        return [value]
    values = (
        value
        if isinstance(value, list | tuple)
        else (value if isinstance(value, dict) else vars(value)).values()
    )
    return [array for part in values for array in arrays(part)]


def assert_same(actual, expected, atol=1e-12):
    for a, b in zip(arrays(actual), arrays(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def joined(parts):
    """Put the values of several dicts one after the other in time."""
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


# --- against Keras ---


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("given_state", [False, True])
def test_forward_equals_keras(kind, shape, given_state):
    cell, x, start, *_ = random_case(kind, shape, np.float32)
    layer = keras_layer(kind, *shape[2:])
    layer.set_weights(cell.weights)
    expected, *expected_state = layer(x, initial_state=list(start) if given_state else None)
    trace = kind.from_keras(layer).forward(x, start if given_state else None)
    assert trace["hidden"].shape == expected.shape and trace["hidden"].dtype == np.float32
    np.testing.assert_allclose(trace["hidden"], expected, atol=1e-5)
    np.testing.assert_allclose(trace.state, expected_state, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_backward_equals_tensorflow(kind, shape):
    layer = keras_layer(kind, *shape[2:])
    import tensorflow as tf

    cell, x, start, d_hidden, d_state = random_case(kind, shape, np.float32)
    layer.set_weights(cell.weights)
    given = [tf.constant(array) for array in [x, *start]]
    with tf.GradientTape() as tape:
        tape.watch(given)
        hidden, *state = layer(given[0], initial_state=given[1:])
        loss = sum(
            tf.reduce_sum(a * b)
            for a, b in zip([hidden, *state], [d_hidden, *d_state], strict=True)
        )
    expected = tape.gradient(loss, [weight.value for weight in layer.weights] + given)
    found = cell.backward(cell.forward(x, start), d_hidden, d_state)
    for a, b in zip([*found.weights, found.x, *found.start], expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * abs(b.numpy()).max())


def test_from_keras_copies_the_weights(kind):
    cell, layer = random_cell(kind, 2, 3, np.float32), keras_layer(kind, 2, 3)
    kept = copy.deepcopy(cell.weights)
    layer.set_weights(cell.weights)
    again = kind.from_keras(layer)
    assert isinstance(again, kind)
    assert_same(again.weights, kept, atol=0)
    layer.set_weights([np.zeros_like(weight) for weight in kept])  # not the copy's
    assert_same(again.weights, kept, atol=0)


# --- against finite differences ---


def assert_close_to_numeric(loss, array, gradient):
    expected = finite_differences(loss, array)
    assert gradient.shape == expected.shape
    assert abs(gradient - expected).max() < 1e-6 * abs(expected).max()


def loss_of(hidden, state, d_hidden, d_state):
    return sum((a * b).sum() for a, b in zip([hidden, *state], [d_hidden, *d_state], strict=True))


def check_backward(kind, shape):
    cell, x, start, d_hidden, d_state = random_case(kind, shape)

    def loss():
        trace = cell.forward(x, start)
        return loss_of(trace["hidden"], trace.state, d_hidden, d_state)

    found = cell.backward(cell.forward(x, start), d_hidden, d_state)
    for array, gradient in zip(
        [*cell.weights, x, *start], [*found.weights, found.x, *found.start], strict=True
    ):
        assert_close_to_numeric(loss, array, gradient)


@pytest.mark.parametrize("shape", [*RANDOM_SHAPES, (3, 1, 2, 4)])  # the last one: a single step
def test_backward_equals_finite_differences(kind, shape):
    check_backward(kind, shape)


def test_weights_of_whole_numbers_do_not_round_the_gradients():
    x, d_hidden = np.array([[[0.3], [0.1]]]), np.ones((1, 2, 1))
    for whole, fraction in zip(
        *(gradients_with(np.array([[2]], kind), x, d_hidden) for kind in (int, float)), strict=True
    ):
        np.testing.assert_allclose(whole, fraction, atol=1e-12)


def gradients_with(recurrent_kernel, x, d_hidden):
    cell = RNNCell(np.array([[1.0]]), recurrent_kernel, np.zeros(1))
    return cell.backward(cell.forward(x), d_hidden).weights


class NewCellForOld(LSTMCell):
    def backward_step(self, now, before, d_state):
        return super().backward_step(now, now, d_state)


class OldCellGradientCarriedOn(LSTMCell):
    def backward_step(self, now, before, d_state):
        d_projected, (d_hidden, _), here = super().backward_step(now, before, d_state)
        return d_projected, (d_hidden, d_state[1] * now["forget_gate"]), here


class NoTanhOnTheWayToTheCell(LSTMCell):
    def backward_step(self, now, before, d_state):
        # what the factor 1 - tanh^2 takes away
        dropped = d_state[0] * now["output_gate"] * np.tanh(now["cell"]) ** 2
        return super().backward_step(now, before, (d_state[0], d_state[1] + dropped))


@pytest.mark.parametrize("slip", [NewCellForOld, OldCellGradientCarriedOn, NoTanhOnTheWayToTheCell])
def test_finite_differences_catch_the_classic_slips(slip):
    check_backward(LSTMCell, (2, 4, 3, 2))
    with pytest.raises(AssertionError):
        check_backward(slip, (2, 4, 3, 2))


def test_gradients_by_the_states_equal_finite_differences(kind):
    cell, x, start, d_hidden, d_state = random_case(kind, (2, 6, 3, 4))
    trace = cell.forward(x, start)
    found = cell.backward(trace, d_hidden, d_state).states
    state = [array.copy() for array in start]  # after step t, and perturbed

    def loss(t, by_cell):
        hidden = (
            trace["output_gate"][:, t] * np.tanh(state[1]) if by_cell else state[0]
        )  # the cell shows in this step's output, too
        if t == 5:
            return loss_of(hidden, state[1:], d_hidden[:, t] + d_state[0], d_state[1:])
        later = cell.forward(x[:, t + 1 :], (hidden, *state[1:]))
        return (hidden * d_hidden[:, t]).sum() + loss_of(
            later["hidden"], later.state, d_hidden[:, t + 1 :], d_state
        )

    for t in range(6):
        for array, name in zip(state, cell.state_names, strict=True):
            array[:] = trace[name][:, t]
        for array, name in zip(state, cell.state_names, strict=True):
            assert_close_to_numeric(
                lambda t=t, name=name: loss(t, name == "cell"), array, found[name][:, t]
            )


# --- one step by hand ---


def test_a_step_of_a_plain_cell_by_hand():
    cell = RNNCell(np.array([[1.0]]), np.array([[2.0]]), np.array([3.0]))
    trace = cell.forward(np.array([[[0.5]]]), (np.array([[-1.5]]),))
    assert (
        trace["hidden"][0, 0, 0] == trace.state[0][0, 0] == pytest.approx(np.tanh(0.5), abs=1e-12)
    )
    d = 7 / np.cosh(0.5) ** 2
    found = cell.backward(trace, np.array([[[7.0]]]))
    assert [array.item() for array in [*found.weights, found.x, *found.start]] == pytest.approx(
        [0.5 * d, -1.5 * d, d, d, 2 * d]
    )


def test_a_step_of_an_lstm_by_hand():
    # One unit, and weights that make each gate differ: i = s(1), f = s(2), g = tanh(3), o = s(4).
    cell = LSTMCell(np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros((1, 4)), np.zeros(4))
    trace = cell.forward(np.ones((1, 1, 1)), (np.array([[0.0]]), np.array([[0.5]])))
    last, memory = trace.state
    by_hand = 0.5 / (1 + np.exp(-2)) + np.tanh(3) / (1 + np.exp(-1))
    assert memory[0, 0] == pytest.approx(by_hand, abs=1e-12)
    assert (
        trace["hidden"][0, 0, 0]
        == last[0, 0]
        == pytest.approx(np.tanh(by_hand) / (1 + np.exp(-4)), abs=1e-12)
    )


# --- time and batch ---


@pytest.mark.parametrize("shape", SHAPES)
def test_step_by_step_equals_forward(kind, shape):
    cell, x, start, *_ = random_case(kind, shape)
    trace, state = cell.forward(x, start), start
    before = [trace.previous(name) for name in cell.state_names]
    for t in range(x.shape[1]):
        assert_same([steps[:, t] for steps in before], state)
        state = cell.step(cell.project(x[:, t]), state)
        assert_same([trace[name][:, t] for name in cell.state_names], state)
    assert_same(trace.state, state)


def test_two_halves_with_the_state_carried_equal_the_whole(kind):
    cell, x, start, d_hidden, d_state = random_case(kind, (2, 11, 3, 4))
    whole, first = cell.forward(x, start), cell.forward(x[:, :5], start)
    second = cell.forward(x[:, 5:], first.state)
    assert_same(joined([first.steps, second.steps]), whole.steps)
    assert_same(second.state, whole.state)
    assert (
        abs(cell.forward(x[:, 5:])["hidden"] - second["hidden"]).max() > 1e-3
    )  # the state matters

    expected, late = (
        cell.backward(whole, d_hidden, d_state),
        cell.backward(second, d_hidden[:, 5:], d_state),
    )
    early = cell.backward(first, d_hidden[:, :5], late.start)
    assert_same([a + b for a, b in zip(early.weights, late.weights, strict=True)], expected.weights)
    assert_same(np.concatenate([early.x, late.x], axis=1), expected.x)
    assert_same(early.start, expected.start)
    assert_same(joined([early.states, late.states]), expected.states)


@pytest.mark.parametrize("chunk", [1, 3, 5, 6, 11, 12, 100])
def test_truncated_gradients_are_those_of_the_chunks(kind, chunk):
    cell, x, start, d_hidden, d_state = random_case(kind, (2, 12, 3, 4))
    trace, state, parts = cell.forward(x, start), start, []
    for t in range(0, 12, chunk):
        part = cell.forward(x[:, t : t + chunk], state)
        parts.append(
            cell.backward(part, d_hidden[:, t : t + chunk], d_state if t + chunk >= 12 else None)
        )
        state = part.state
    found, whole = (
        cell.backward(trace, d_hidden, d_state, chunk),
        cell.backward(trace, d_hidden, d_state),
    )
    assert_same(
        found.weights,
        [sum(weights) for weights in zip(*(part.weights for part in parts), strict=True)],
    )
    assert_same(found.x, np.concatenate([part.x for part in parts], axis=1))
    assert_same(found.start, parts[0].start)
    assert_same(found.states, joined([part.states for part in parts]))
    differences = [abs(a - b).max() for a, b in zip(arrays(found), arrays(whole), strict=True)]
    assert (
        max(differences) == 0 if chunk >= 12 else min(differences[:5]) > 1e-6
    )  # weights, x, start of the hidden state


def test_rows_of_a_batch_do_not_meet(kind):
    cell, x, start, d_hidden, d_state = random_case(kind, (5, 6, 3, 4))
    order = [3, 0, 4, 1, 2]
    trace, shuffled = (
        cell.forward(x, start),
        cell.forward(x[order], [part[order] for part in start]),
    )
    assert_same(shuffled, [array[order] for array in arrays(trace)])
    expected, found = (
        cell.backward(trace, d_hidden, d_state),
        cell.backward(shuffled, d_hidden[order], [part[order] for part in d_state]),
    )
    assert_same(found.weights, expected.weights)  # sums over the batch
    assert_same(
        [found.x, found.start, found.states],
        [a[order] for a in arrays([expected.x, expected.start, expected.states])],
    )


@pytest.mark.parametrize("chunk", [None, 2])
def test_forward_and_backward_leave_their_arguments_alone(kind, chunk):
    cell, x, start, d_hidden, d_state = random_case(kind, (2, 5, 3, 4))
    given = [cell.weights, x, start, d_hidden, d_state]
    kept = copy.deepcopy(given)
    trace = cell.forward(x, start)
    kept_trace = copy.deepcopy(trace)
    once, twice = (cell.backward(trace, d_hidden, d_state, chunk) for _ in range(2))
    assert_same([*given, *arrays(trace)], [*kept, *arrays(kept_trace)], atol=0)
    assert_same(once, twice, atol=0)


# --- numbers ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given_state", [False, True])
def test_precision_stays(kind, dtype, given_state):
    cell, x, start, d_hidden, d_state = random_case(kind, (2, 30, 3, 4), dtype)
    trace = cell.forward(x, start if given_state else None)
    found = cell.backward(trace, d_hidden, d_state if given_state else None, chunk=20)
    assert {array.dtype for array in arrays(trace) + arrays(found)} == {np.dtype(dtype)}
    for array in arrays([trace.steps, trace.state]) + arrays(
        found
    ):  # float64 is not float32 in disguise
        assert np.array_equal(array, array.astype(np.float32)) == (dtype == np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_random_draws_as_keras_does(kind, dtype):
    cell = kind.random(30, 20, np.random.default_rng(0), dtype)
    assert {weight.dtype for weight in cell.weights} == {np.dtype(dtype)}
    assert_same(
        cell.recurrent_kernel @ cell.recurrent_kernel.T,
        np.eye(20),
        atol=1e-6 if dtype == np.float32 else 1e-12,
    )
    limit = np.sqrt(6 / (30 + kind.gates * 20))
    assert 0.97 * limit < cell.kernel.max() <= limit * (
        1 + 1e-6
    ) and 0.97 * limit < -cell.kernel.min() <= limit * (1 + 1e-6)
    assert cell.bias.tolist() == ([0] * 20 if kind is RNNCell else [0] * 20 + [1] * 20 + [0] * 40)
    assert_same(kind.random(30, 20, np.random.default_rng(0), dtype).weights, cell.weights, atol=0)
    assert not np.array_equal(
        kind.random(30, 20, np.random.default_rng(1), dtype).kernel, cell.kernel
    )


@pytest.mark.parametrize("forget_bias", [0, -2.5])
def test_random_takes_a_forget_bias(forget_bias):
    cell = LSTMCell.random(3, 2, np.random.default_rng(0), forget_bias=forget_bias)
    assert (
        cell.bias.tolist() == [0, 0, forget_bias, forget_bias, 0, 0, 0, 0]
        and cell.bias.dtype == np.float32
    )


def test_sigmoid():
    x = np.linspace(-30, 30, 121)
    np.testing.assert_allclose(sigmoid(x), 1 / (1 + np.exp(-x)), atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_never_overflows(dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = sigmoid(np.array([-1000, 0, 1000, -np.inf, np.inf], dtype))
    assert values.tolist() == [0, 0.5, 1, 0, 1] and values.dtype == dtype


# --- shapes that do not fit ---


@pytest.mark.parametrize(
    "kind, kernel, recurrent_kernel, bias",
    [
        (LSTMCell, (3, 8), (2, 8), (7,)),
        (LSTMCell, (3, 8), (2, 8), (1, 8)),
        (LSTMCell, (3, 9), (2, 8), (8,)),
        (LSTMCell, (3, 8), (2, 9), (8,)),
        (LSTMCell, (3, 8), (8, 8), (8,)),
        (LSTMCell, (8,), (2, 8), (8,)),
        (RNNCell, (3, 2), (2, 2), (1,)),
        (RNNCell, (3, 8), (2, 8), (8,)),
    ],
)
def test_weights_that_do_not_fit_together_are_refused(kind, kernel, recurrent_kernel, bias):
    width = kind.gates * recurrent_kernel[0]
    with pytest.raises(
        ValueError, match=rf"{kind.gates} gate\(s\) has weights whose last axis is {width}; got"
    ):
        kind(np.zeros(kernel), np.zeros(recurrent_kernel), np.zeros(bias))


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 4), (2, 5, 3, 1), (2, 3, 5), (2, 0, 3)])
def test_inputs_of_another_shape_are_refused(kind, shape):
    with pytest.raises(ValueError, match=r"\(batch, time, 3\), time at least 1, got"):
        random_cell(kind, 3, 4).forward(np.zeros(shape))


@pytest.mark.parametrize(
    "shape, count", [((2, 1), 0), ((1, 4), 0), ((3, 4), 0), ((4,), 0), ((2, 4), -1), ((2, 4), 1)]
)
def test_states_of_another_shape_are_refused(kind, shape, count):
    cell, x, _, d_hidden, _ = random_case(kind, (2, 5, 3, 4))
    state = [np.zeros(shape)] * (len(kind.state_names) + count)
    for run in [
        lambda: cell.forward(x, state),
        lambda: cell.backward(cell.forward(x), d_hidden, state),
    ]:
        with pytest.raises(ValueError, match=r"Expected a state of shapes \[\(2, 4\)"):
            run()


@pytest.mark.parametrize(
    "shape", [(2, 5), (2, 4, 4), (2, 5, 1), (1, 5, 4), (2, 5, 4, 1), (5, 2, 4)]
)
def test_derivatives_of_another_shape_are_refused(kind, shape):
    cell, x, *_ = random_case(kind, (2, 5, 3, 4))
    with pytest.raises(ValueError, match=r"Expected a gradient of shape \(2, 5, 4\)"):
        cell.backward(cell.forward(x), np.zeros(shape))


@pytest.mark.parametrize("chunk", [0, -1])
def test_chunks_without_a_step_are_refused(kind, chunk):
    cell, x, _, d_hidden, _ = random_case(kind, (2, 5, 3, 4))
    with pytest.raises(ValueError, match=f"at least one step long, not {chunk}"):
        cell.backward(cell.forward(x), d_hidden, chunk=chunk)
