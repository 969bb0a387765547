"""Recurrent cells in NumPy: the equations themselves, with every gate in sight."""

import numpy as np


def sigmoid(x):
    """Squash `x` into 0..1; written with tanh, so that no large `x` overflows."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


class LSTMCell:
    """A long short-term memory cell, as Keras computes it.

    With the input x, the hidden state h and the cell state c of the step before (Gers et al., 2000):

        i = sigmoid(x Wi + h Ui + bi)       input gate
        f = sigmoid(x Wf + h Uf + bf)       forget gate
        g = tanh   (x Wg + h Ug + bg)       candidate
        o = sigmoid(x Wo + h Uo + bo)       output gate
        c = f * c + i * g                   what is kept, and what is new
        h = o * tanh(c)

    Parameters
    ----------
    kernel : ndarray, shape (input_size, 4 * hidden_size)
        Wi, Wf, Wg and Wo side by side: Keras's gate order.
    recurrent_kernel : ndarray, shape (hidden_size, 4 * hidden_size)
        Ui, Uf, Ug and Uo.
    bias : ndarray, shape (4 * hidden_size,)

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> cell = LSTMCell(np.zeros((3, 8)), np.zeros((2, 8)), np.zeros(8))
    >>> hidden, state = cell.forward(np.ones((1, 5, 3)))
    >>> hidden.shape
    (1, 5, 2)
    """

    def __init__(self, kernel, recurrent_kernel, bias):
        self.input_size, self.hidden_size = len(kernel), len(recurrent_kernel)
        width = 4 * self.hidden_size
        if kernel.shape[1:] != (width,) or recurrent_kernel.shape[1:] != (width,) or bias.shape != (width,):
            raise ValueError(
                f"An LSTM cell of hidden size {self.hidden_size} has four gates, so its weights end in {width}; "
                f"got {kernel.shape}, {recurrent_kernel.shape} and {bias.shape}."
            )
        self.kernel, self.recurrent_kernel, self.bias = kernel, recurrent_kernel, bias

    @classmethod
    def from_keras(cls, layer):
        """Copy the weights of a built `keras.layers.LSTM`."""
        return cls(*(np.array(weight) for weight in layer.get_weights()))

    def zero_state(self, batch_size=1):
        """Return hidden and cell state before anything was read, each (batch, hidden_size)."""
        shape, dtype = (batch_size, self.hidden_size), self.recurrent_kernel.dtype
        return np.zeros(shape, dtype), np.zeros(shape, dtype)

    def project(self, x):
        """Return what the input adds to the gates, `x W + b`: it needs no state, so it can be done ahead of time."""
        return x @ self.kernel + self.bias

    def step(self, projected, state):
        """Take one step in time.

        Parameters
        ----------
        projected : ndarray, shape (batch, 4 * hidden_size)
            `project(x)` of the input of this step.
        state : tuple of two ndarrays, shape (batch, hidden_size)
            Hidden and cell state of the step before.

        Returns
        -------
        hidden, cell : ndarray, shape (batch, hidden_size)
        """
        hidden, cell = state
        n = self.hidden_size
        a = projected + hidden @ self.recurrent_kernel
        i, f, o = sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), sigmoid(a[:, 3 * n :])
        g = np.tanh(a[:, 2 * n : 3 * n])
        cell = f * cell + i * g
        return o * np.tanh(cell), cell

    def forward(self, x, state=None):
        """Read whole sequences.

        Parameters
        ----------
        x : ndarray, shape (batch, time, input_size)
        state : tuple of two ndarrays, shape (batch, hidden_size), optional
            Hidden and cell state to start from; zeros if not given.

        Returns
        -------
        hidden : ndarray, shape (batch, time, hidden_size)
            The hidden state after each step.
        state : tuple of two ndarrays
            Hidden and cell state after the last step.

        Raises
        ------
        ValueError
            If `x` or `state` is not of that shape.
        """
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ValueError(f"Expected inputs of shape (batch, time, {self.input_size}), got {x.shape}.")
        state = self.zero_state(len(x)) if state is None else state
        if [part.shape for part in state] != [(len(x), self.hidden_size)] * 2:
            raise ValueError(f"Expected two states of shape ({len(x)}, {self.hidden_size}), got {[part.shape for part in state]}.")
        projected = self.project(x)
        hidden = np.empty((*x.shape[:2], self.hidden_size), projected.dtype)
        for t in range(x.shape[1]):
            state = self.step(projected[:, t], state)
            hidden[:, t] = state[0]
        return hidden, state
