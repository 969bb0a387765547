"""Recurrent cells in NumPy: forward with every gate in sight, backward through time with every step written out.

Notebook 02 builds the plain cell and its way back, notebook 03 the LSTM.
"""

from dataclasses import dataclass

import numpy as np


def sigmoid(x):
    """Squash `x` into 0..1; written with tanh, so that no large `x` overflows."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def finite_differences(loss, weight, small=1e-5):
    """Estimate the derivatives of a loss without any theory (built in notebook 02).

    Parameters
    ----------
    loss : callable
        Takes nothing, and works the loss out from `weight` as it is at that moment.
    weight : ndarray of float64
        Changed a little, up and down, one number at a time, and then as it was.
    small : float
        How little.

    Returns
    -------
    ndarray, of the shape of `weight`

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
    """What a cell did while it read: kept for the way back, and to be looked at.

    Attributes
    ----------
    x : ndarray, shape (batch, time, input_size)
    start, state : tuple of ndarrays, shape (batch, hidden_size)
        The state before the first step, and after the last.
    steps : dict of str to ndarray, shape (batch, time, hidden_size)
        What was worked out at each step: `trace["hidden"]` and, of an LSTM, `trace["cell"]`, `trace["forget_gate"]`, ...
    """

    x: np.ndarray
    start: tuple
    state: tuple
    steps: dict

    def __getitem__(self, name):
        return self.steps[name]

    def before(self, index, name):
        """Return a state as each step found it: `steps[name]` moved on by one, with number `index` of `start` in front."""
        return np.concatenate([self.start[index][:, None], self.steps[name][:, :-1]], axis=1)


@dataclass
class Gradients:
    """Derivatives of a loss, as `backward` returns them.

    Attributes
    ----------
    weights : list of three ndarrays
        By kernel, recurrent kernel and bias, each of the weight's own shape; summed over batch and time.
    x : ndarray, shape (batch, time, input_size)
        By the inputs.
    start : tuple of ndarrays, shape (batch, hidden_size)
        By the state before the first step.
    states : dict of str to ndarray, shape (batch, time, hidden_size)
        By the states after each step, "hidden" and, of an LSTM, "cell": all that arrives there from that step's own
        output and from later ones.
    """

    weights: list
    x: np.ndarray
    start: tuple
    states: dict


class Cell:
    """What every cell shares: three arrays of weights, and the loop over time, there and back.

    A kind of cell adds `look`, one step forward, and `look_back`, one step of the chain rule.

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
                f"A cell of hidden size {self.hidden_size} with {self.gates} gate(s) has weights that end in {width}; "
                f"got {kernel.shape}, {recurrent_kernel.shape} and {bias.shape}."
            )
        self.kernel, self.recurrent_kernel, self.bias = kernel, recurrent_kernel, bias

    @classmethod
    def random(cls, input_size, hidden_size, rng, dtype=np.float32):
        """Return a cell with weights drawn as Keras draws them, all biases 0.

        The kernel is uniform within sqrt(6 / (fan in + fan out)) (Glorot and Bengio, 2010), the recurrent kernel has
        orthogonal rows (Saxe et al., 2014).

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

    def to_keras(self, layer):
        """Copy the weights into a built Keras layer of the same kind and size."""
        layer.set_weights(self.weights)

    @property
    def weights(self):
        """Kernel, recurrent kernel and bias, in Keras's order."""
        return [self.kernel, self.recurrent_kernel, self.bias]

    def zero_state(self, batch_size=1):
        """Return the state before anything was read: a tuple of one array (batch, hidden_size), for an LSTM of two."""
        shape, dtype = (batch_size, self.hidden_size), self.recurrent_kernel.dtype
        return tuple(np.zeros(shape, dtype) for _ in self.state_names)

    def project(self, x):
        """Return what the input adds, `x W + b`: it needs no state, so it can be done ahead of time."""
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
        seen = self.look(projected, state)
        return tuple(seen[name] for name in self.state_names)

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
            If `x` or `state` is not of that shape, or there is no step to take.
        """
        if x.ndim != 3 or x.shape[1] == 0 or x.shape[2] != self.input_size:
            raise ValueError(
                f"Expected inputs of shape (batch, time, {self.input_size}), time at least 1, got {x.shape}."
            )
        state = start = self.zero_state(len(x)) if state is None else tuple(state)
        self._check_state(state, len(x))
        projected, seen = self.project(x), []
        for t in range(x.shape[1]):
            seen.append(self.look(projected[:, t], state))
            state = tuple(seen[t][name] for name in self.state_names)
        steps = {name: np.stack([step[name] for step in seen], axis=1) for name in seen[0]}
        return Trace(x, start, state, steps)

    def backward(self, trace, d_hidden, d_state=None, chunk=None):
        """Carry the derivatives of a loss back through time (Werbos, 1990).

        Parameters
        ----------
        trace : Trace
            From `forward`.
        d_hidden : ndarray, shape (batch, time, hidden_size)
            Derivative of the loss by the hidden state of each step, as the loss sees it directly.
        d_state : tuple of ndarrays, shape (batch, hidden_size), optional
            The same by the state after the last step, from what came later; zeros if not given.
        chunk : int, optional
            Truncate: nothing flows back across a border between two chunks of so many steps.

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
                f"Expected derivatives of shape {trace['hidden'].shape}, one for each hidden state, got {d_hidden.shape}."
            )
        if chunk is not None and chunk < 1:
            raise ValueError(f"A chunk is at least one step long, not {chunk}.")
        batch, time, _ = d_hidden.shape
        nothing = self.zero_state(batch)
        d_state = nothing if d_state is None else tuple(d_state)
        self._check_state(d_state, batch)
        before = {name: trace.before(index, name) for index, name in enumerate(self.state_names)}
        d_projected = np.empty((batch, time, len(self.bias)), trace["hidden"].dtype)
        states = {name: np.empty_like(trace[name]) for name in self.state_names}
        for t in reversed(range(time)):
            if chunk and t + 1 < time and (t + 1) % chunk == 0:
                d_state = nothing
            d_state = (d_state[0] + d_hidden[:, t], *d_state[1:])
            at = {name: steps[:, t] for name, steps in trace.steps.items()}
            found = {name: steps[:, t] for name, steps in before.items()}
            d_projected[:, t], d_state, d_here = self.look_back(at, found, d_state)
            for name, gradient in zip(self.state_names, d_here, strict=True):
                states[name][:, t] = gradient
        axes = ([0, 1], [0, 1])  # sum over batch and time, of both arrays
        weights = [
            np.tensordot(trace.x, d_projected, axes),
            np.tensordot(before["hidden"], d_projected, axes),
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
    """A plain recurrent cell, as `keras.layers.SimpleRNN` computes it (Elman, 1990): h = tanh(x W + h U + b).

    The parameters are those of `Cell` with one gate.

    Examples
    --------
    >>> cell = RNNCell(np.zeros((3, 2)), np.eye(2), np.zeros(2))
    >>> cell.forward(np.ones((1, 5, 3)))["hidden"].shape
    (1, 5, 2)
    """

    def look(self, projected, state):
        """Take one step; return all that was worked out, by name."""
        (hidden,) = state
        return {"hidden": np.tanh(projected + hidden @ self.recurrent_kernel)}

    def look_back(self, at, before, d_state):
        """Take one step back: from d_state after the step to d_projected and d_state before it."""
        (d_hidden,) = d_state
        d_projected = d_hidden * (1 - at["hidden"] ** 2)
        return d_projected, (d_projected @ self.recurrent_kernel.T,), (d_hidden,)


class LSTMCell(Cell):
    """A long short-term memory cell, as `keras.layers.LSTM` computes it.

    With the input x, the hidden state h and the cell state c of the step before (Hochreiter and Schmidhuber, 1997; with
    the forget gate of Gers et al., 2000):

        i = sigmoid(x Wi + h Ui + bi)       input gate
        f = sigmoid(x Wf + h Uf + bf)       forget gate
        g = tanh   (x Wg + h Ug + bg)       candidate
        o = sigmoid(x Wo + h Uo + bo)       output gate
        c = f * c + i * g                   what is kept, and what is new
        h = o * tanh(c)

    The parameters are those of `Cell` with four gates, side by side in this order, which is Keras's.

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
        """Return a cell with weights drawn as Keras draws them; the bias of the forget gate is `forget_bias`, the others 0."""
        cell = super().random(input_size, hidden_size, rng, dtype)
        cell.bias[hidden_size : 2 * hidden_size] = forget_bias
        return cell

    def look(self, projected, state):
        """Take one step; return all that was worked out, by name."""
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

    def look_back(self, at, before, d_state):
        """Take one step back: from d_state after the step to d_projected and d_state before it."""
        i, f, g, o = (
            at[name] for name in ("input_gate", "forget_gate", "candidate", "output_gate")
        )
        d_hidden, d_cell = d_state
        tanh_cell = np.tanh(at["cell"])
        d_cell = d_cell + d_hidden * o * (1 - tanh_cell**2)
        d_i, d_f, d_g, d_o = d_cell * g, d_cell * before["cell"], d_cell * i, d_hidden * tanh_cell
        d_projected = np.concatenate(
            [d_i * i * (1 - i), d_f * f * (1 - f), d_g * (1 - g**2), d_o * o * (1 - o)], axis=1
        )
        return d_projected, (d_projected @ self.recurrent_kernel.T, d_cell * f), (d_hidden, d_cell)
