"""Recurrent cells in NumPy: the forward pass with every gate visible, and the backward pass.

Notebook 02 builds the plain cell and its backward pass, notebook 03 the LSTM.
"""

from dataclasses import dataclass

import numpy as np


def sigmoid(x):
    """Squash `x` into 0..1; written with tanh, so that no large `x` overflows."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def softmax(logits):
    """Turn logits into probabilities along the last axis.

    Examples
    --------
    >>> softmax(np.log([0.2, 0.3, 0.5]) + 1000).round(3).tolist()
    [0.2, 0.3, 0.5]
    """
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))  # so that nothing overflows
    return weights / weights.sum(axis=-1, keepdims=True)


def finite_differences(loss, weight, small=1e-5):
    """Estimate the gradient of a loss from its values alone (built in notebook 02).

    Parameters
    ----------
    loss : callable
        Takes no argument, and computes the loss with the current values in `weight`.
    weight : ndarray of float64
        Each number is moved up and down by `small`, one at a time, and restored.
    small : float

    Returns
    -------
    ndarray, with the shape of `weight`

    Examples
    --------
    >>> w = np.array([3.0, -1.0])
    >>> finite_differences(lambda: (w**2).sum(), w).round(6).tolist()
    [6.0, -2.0]
    """
    slopes = np.zeros_like(weight)
    for place in np.ndindex(weight.shape):
        kept = weight[place]
        weight[place] = kept + small
        above = loss()
        weight[place] = kept - small
        slopes[place] = (above - loss()) / (2 * small)
        weight[place] = kept
    return slopes


@dataclass
class Trace:
    """Everything a cell computed in a forward pass: for the backward pass, and to look at.

    Attributes
    ----------
    x : ndarray, shape (batch, time, input_size)
    start, state : tuple of ndarrays, shape (batch, hidden_size)
        The state before the first step, and after the last.
    steps : dict of str to ndarray, shape (batch, time, hidden_size)
        What was computed at each step: `trace["hidden"]`, and for an LSTM also `trace["cell"]`,
        `trace["forget_gate"]` and the other gates.
    """

    x: np.ndarray
    start: tuple
    state: tuple
    steps: dict

    def __getitem__(self, name):
        return self.steps[name]

    def previous(self, name):
        """Return "hidden" or "cell" before each step, shape (batch, time, hidden_size)."""
        first = self.start[("hidden", "cell").index(name)]
        return np.concatenate([first[:, None], self.steps[name][:, :-1]], axis=1)


@dataclass
class Gradients:
    """Gradients of a loss, as `backward` returns them.

    Attributes
    ----------
    weights : list of three ndarrays
        With respect to kernel, recurrent kernel and bias, summed over batch and time.
    x : ndarray, shape (batch, time, input_size)
        With respect to the inputs.
    start : tuple of ndarrays, shape (batch, hidden_size)
        With respect to the state before the first step.
    states : dict of str to ndarray, shape (batch, time, hidden_size)
        With respect to the states after each step, "hidden" and for an LSTM also "cell": what
        arrives there from that step's own output and from all later ones.
    """

    weights: list
    x: np.ndarray
    start: tuple
    states: dict


class Cell:
    """What every cell shares: three arrays of weights, and the loops over time.

    A kind of cell adds `forward_step`, and `backward_step`, one application of the chain rule.

    Parameters
    ----------
    kernel : ndarray, shape (input_size, gates * hidden_size)
    recurrent_kernel : ndarray, shape (hidden_size, gates * hidden_size)
    bias : ndarray, shape (gates * hidden_size,)

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    gates, state_names = 1, ("hidden",)

    def __init__(self, kernel, recurrent_kernel, bias):
        self.input_size, self.hidden_size = len(kernel), len(recurrent_kernel)
        width = self.gates * self.hidden_size
        if (
            kernel.shape[1:] != (width,)
            or recurrent_kernel.shape[1:] != (width,)
            or bias.shape != (width,)
        ):
            raise ValueError(
                f"A cell of hidden size {self.hidden_size} with {self.gates} gate(s) has weights "
                f"whose last axis is {width}; "
                f"got {kernel.shape}, {recurrent_kernel.shape} and {bias.shape}."
            )
        self.kernel, self.recurrent_kernel, self.bias = kernel, recurrent_kernel, bias

    @classmethod
    def random(cls, input_size, hidden_size, rng, dtype=np.float32):
        """Return a cell with weights drawn as Keras draws them, and all biases 0.

        The kernel is uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010), the
        recurrent kernel has orthogonal rows (Saxe et al., 2014).

        Examples
        --------
        >>> cell = RNNCell.random(3, 2, np.random.default_rng(0), dtype=np.float64)
        >>> np.allclose(cell.recurrent_kernel @ cell.recurrent_kernel.T, np.eye(2))
        True
        """
        width = cls.gates * hidden_size
        limit = np.sqrt(6 / (input_size + width))
        kernel = rng.uniform(-limit, limit, (input_size, width))
        q, r = np.linalg.qr(rng.normal(size=(width, hidden_size)))
        return cls(
            kernel.astype(dtype), (q * np.sign(np.diag(r))).T.astype(dtype), np.zeros(width, dtype)
        )

    @classmethod
    def from_keras(cls, layer):
        """Copy the weights of a built Keras layer of the same kind."""
        return cls(*(np.array(weight) for weight in layer.get_weights()))

    @property
    def weights(self):
        """Kernel, recurrent kernel and bias, in Keras's order."""
        return [self.kernel, self.recurrent_kernel, self.bias]

    def zero_state(self, batch_size=1):
        """Return the state before anything was read: a tuple of arrays (batch, hidden_size)."""
        shape, dtype = (batch_size, self.hidden_size), self.recurrent_kernel.dtype
        return tuple(np.zeros(shape, dtype) for _ in self.state_names)

    def project(self, x):
        """Return what the input contributes, `x W + b`: it needs no state, so it comes first."""
        return x @ self.kernel + self.bias

    def step(self, projected, state):
        """Take one step in time and keep only the new state.

        Parameters
        ----------
        projected : ndarray, shape (batch, gates * hidden_size)
            `project(x)` of the input of this step.
        state : tuple of ndarrays, shape (batch, hidden_size)
            From `zero_state` or the step before.

        Returns
        -------
        tuple of ndarrays, shape (batch, hidden_size)
        """
        computed = self.forward_step(projected, state)
        return tuple(computed[name] for name in self.state_names)

    def forward(self, x, state=None):
        """Read whole sequences.

        Parameters
        ----------
        x : ndarray, shape (batch, time, input_size)
        state : tuple of ndarrays, shape (batch, hidden_size), optional
            The state to start from; zeros if not given.

        Returns
        -------
        Trace

        Raises
        ------
        ValueError
            If `x` or `state` has another shape, or there is no step to take.
        """
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.input_size:
            raise ValueError(
                f"Expected inputs of shape (batch, time, {self.input_size}), time at least 1, "
                f"got {x.shape}."
            )
        state = start = self.zero_state(len(x)) if state is None else tuple(state)
        self._check_state(state, len(x))
        projected, computed = self.project(x), []
        for t in range(x.shape[1]):
            computed.append(self.forward_step(projected[:, t], state))
            state = tuple(computed[t][name] for name in self.state_names)
        steps = {name: np.stack([step[name] for step in computed], axis=1) for name in computed[0]}
        return Trace(x, start, state, steps)

    def backward(self, trace, d_hidden, d_state=None, chunk=None):
        """Backpropagate through time (Werbos, 1990).

        Parameters
        ----------
        trace : Trace
            From `forward`.
        d_hidden : ndarray, shape (batch, time, hidden_size)
            Gradient of the loss with respect to the hidden state of each step, not counting what
            flows through later steps.
        d_state : tuple of ndarrays, shape (batch, hidden_size), optional
            Gradient with respect to the state after the last step; zeros if not given.
        chunk : int, optional
            Truncate: nothing flows back from one chunk of this many steps to the chunk before.

        Returns
        -------
        Gradients

        Raises
        ------
        ValueError
            If a shape does not fit the trace, or `chunk` is below 1.
        """
        if d_hidden.shape != trace["hidden"].shape:
            raise ValueError(
                f"Expected a gradient of shape {trace['hidden'].shape}, one number for each hidden "
                f"state, got {d_hidden.shape}."
            )
        if chunk is not None and chunk < 1:
            raise ValueError(f"A chunk is at least one step long, not {chunk}.")
        batch, time, _ = d_hidden.shape
        zeros = self.zero_state(batch)
        d_state = zeros if d_state is None else tuple(d_state)
        self._check_state(d_state, batch)
        previous = {name: trace.previous(name) for name in self.state_names}
        d_projected = np.empty((batch, time, len(self.bias)), trace["hidden"].dtype)
        states = {name: np.empty_like(trace[name]) for name in self.state_names}
        for t in reversed(range(time)):
            if chunk and t + 1 < time and (t + 1) % chunk == 0:
                d_state = zeros
            d_state = (d_state[0] + d_hidden[:, t], *d_state[1:])
            now = {name: steps[:, t] for name, steps in trace.steps.items()}
            before = {name: steps[:, t] for name, steps in previous.items()}
            d_projected[:, t], d_state, d_here = self.backward_step(now, before, d_state)
            for name, gradient in zip(self.state_names, d_here, strict=True):
                states[name][:, t] = gradient
        axes = ([0, 1], [0, 1])  # sum over batch and time, of both arrays
        weights = [
            np.tensordot(trace.x, d_projected, axes),
            np.tensordot(previous["hidden"], d_projected, axes),
            d_projected.sum((0, 1)),
        ]
        return Gradients(weights, d_projected @ self.kernel.T, d_state, states)

    def _check_state(self, state, batch_size):
        wanted = [(batch_size, self.hidden_size)] * len(self.state_names)
        if [part.shape for part in state] != wanted:
            raise ValueError(
                f"Expected a state of shapes {wanted}, got {[part.shape for part in state]}."
            )


class RNNCell(Cell):
    """A plain recurrent cell, as `keras.layers.SimpleRNN` computes it (Elman, 1990).

    h = tanh(x W + h U + b). The parameters are those of `Cell` with one gate.

    Examples
    --------
    >>> cell = RNNCell(np.zeros((3, 2)), np.eye(2), np.zeros(2))
    >>> cell.forward(np.ones((1, 5, 3)))["hidden"].shape
    (1, 5, 2)
    """

    def forward_step(self, projected, state):
        """Take one step in time; return everything that was computed, by name."""
        (hidden,) = state
        return {"hidden": np.tanh(projected + hidden @ self.recurrent_kernel)}

    def backward_step(self, now, before, d_state):
        """Take one step of backpropagation.

        Returns the gradients with respect to `projected`, to the state before the step, and to the
        state after it.
        """
        (d_hidden,) = d_state
        d_projected = d_hidden * (1 - now["hidden"] ** 2)
        return d_projected, (d_projected @ self.recurrent_kernel.T,), (d_hidden,)


class LSTMCell(Cell):
    """A long short-term memory cell, as `keras.layers.LSTM` computes it.

    With the input x, and the hidden state h and cell state c of the previous step (Hochreiter and
    Schmidhuber, 1997; with the forget gate of Gers et al., 2000):

        i = sigmoid(x Wi + h Ui + bi)       input gate
        f = sigmoid(x Wf + h Uf + bf)       forget gate
        g = tanh   (x Wg + h Ug + bg)       candidate
        o = sigmoid(x Wo + h Uo + bo)       output gate
        c = f * c + i * g                   what is kept, and what is new
        h = o * tanh(c)

    The parameters are those of `Cell` with four gates, side by side in this order, as in Keras.

    Examples
    --------
    >>> cell = LSTMCell(np.zeros((3, 8)), np.zeros((2, 8)), np.zeros(8))
    >>> trace = cell.forward(np.ones((1, 5, 3)))
    >>> trace["forget_gate"].shape, trace["forget_gate"][0, 0, 0].item()
    ((1, 5, 2), 0.5)
    """

    gates, state_names = 4, ("hidden", "cell")

    @classmethod
    def random(cls, input_size, hidden_size, rng, dtype=np.float32, forget_bias=1.0):
        """Return a cell with weights drawn as Keras draws them, and a bias for the forget gate."""
        cell = super().random(input_size, hidden_size, rng, dtype)
        cell.bias[hidden_size : 2 * hidden_size] = forget_bias
        return cell

    def forward_step(self, projected, state):
        """Take one step in time; return everything that was computed, by name."""
        hidden, cell = state
        n = self.hidden_size
        a = projected + hidden @ self.recurrent_kernel
        i, f, o = sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), sigmoid(a[:, 3 * n :])
        g = np.tanh(a[:, 2 * n : 3 * n])
        cell = f * cell + i * g
        return {
            "input_gate": i,
            "forget_gate": f,
            "candidate": g,
            "output_gate": o,
            "cell": cell,
            "hidden": o * np.tanh(cell),
        }

    def backward_step(self, now, before, d_state):
        """Take one step of backpropagation.

        Returns the gradients with respect to `projected`, to the state before the step, and to the
        state after it.
        """
        i, f, g, o = (
            now[name] for name in ("input_gate", "forget_gate", "candidate", "output_gate")
        )
        d_hidden, d_cell = d_state
        tanh_cell = np.tanh(now["cell"])
        d_cell = d_cell + d_hidden * o * (1 - tanh_cell**2)
        d_i, d_f, d_g, d_o = d_cell * g, d_cell * before["cell"], d_cell * i, d_hidden * tanh_cell
        d_projected = np.concatenate(
            [d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=1
        )
        return d_projected, (d_projected @ self.recurrent_kernel.T, d_cell * f), (d_hidden, d_cell)
