"""Keras's LSTM layer with a backward pass written by hand, for runs longer than a class.

The formulas are those of notebook 03; what is gained is speed. Notebooks use Keras's own layer.
data/models/README.md has the measurement.
"""

from helpers.backend import keras, tf


class FastLSTM(keras.layers.LSTM):
    """An LSTM layer whose products of matrices are in bfloat16, and all else in float32.

    Same weights and same results as `keras.layers.LSTM`, but for the rounding of those products.
    The recurrent weights' gradient is one product over all time steps (Appleyard, Kocisky and
    Blunsom, "Optimizing performance of recurrent neural networks on GPUs", 2016). It pays only on a
    processor that multiplies in bfloat16.

    Parameters
    ----------
    units : int
    kernel_initializer, recurrent_initializer : keras.Initializer

    Examples
    --------
    >>> outputs, hidden, cell = FastLSTM(4)(tf.ones((2, 5, 3)), [tf.zeros((2, 4))] * 2)
    >>> outputs.shape
    TensorShape([2, 5, 4])
    """

    def __init__(
        self, units, *, kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal"
    ):
        super().__init__(
            units,
            return_sequences=True,
            return_state=True,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
        )

    def call(self, sequences, initial_state, mask=None, training=False):
        """Read `(batch, time, features)`; return outputs, last hidden and last cell state."""
        kernel, recurrent_kernel, bias = (
            tf.convert_to_tensor(each)
            for each in (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        )
        flat = tf.reshape(tf.transpose(sequences, (1, 0, 2)), (-1, sequences.shape[-1]))
        times = tf.shape(sequences)[1], tf.shape(sequences)[0], 4 * self.units
        inputs = tf.reshape(_product(flat, kernel), times) + bias
        outputs, *state = _recur(inputs, *initial_state, recurrent_kernel)
        return tf.transpose(outputs, (1, 0, 2)), *state


def _product(a, b, **how):
    """Multiply two matrices in bfloat16."""
    low = tf.bfloat16
    return tf.cast(tf.matmul(tf.cast(a, low), tf.cast(b, low), **how), tf.float32)


def _numbers(time):
    """Return an array that a loop over time can write to."""
    return tf.TensorArray(tf.float32, time)


# XLA joins what stands between two products into one walk over the numbers.
@tf.function(jit_compile=True)
def _open_gates(sums, cell):
    """Return the gates, the new cell state and the new hidden state."""
    i, f, g, o = tf.split(sums, 4, axis=-1)
    i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
    cell = f * cell + i * g
    return tf.concat([i, f, g, o], axis=-1), cell, o * tf.tanh(cell)


@tf.function(jit_compile=True)
def _open_gates_back(gates, before, cell, d_h, d_c):
    """Return the gradients of the sums and of the cell state before."""
    i, f, g, o = tf.split(gates, 4, axis=-1)
    squashed = tf.tanh(cell)
    d_c = d_c + d_h * o * (1 - squashed**2)
    d_i, d_f = d_c * g * i * (1 - i), d_c * before * f * (1 - f)
    d_g, d_o = d_c * i * (1 - g**2), d_h * squashed * o * (1 - o)
    return tf.concat([d_i, d_f, d_g, d_o], axis=-1), d_c * f


@tf.custom_gradient
def _recur(inputs, hidden, cell, recurrent_kernel):
    """Walk forward over inputs `(time, batch, 4 hidden_size)`, which the kernel has multiplied."""
    time = tf.shape(inputs)[0]
    kernel = tf.cast(recurrent_kernel, tf.bfloat16)
    # A product with a matrix that lies transposed in memory is the faster one, in both directions.
    lying = tf.transpose(kernel)

    def step(t, h, c, gates, cells, hiddens):
        opened, c, h = _open_gates(inputs[t] + _product(h, lying, transpose_b=True), c)
        return t + 1, h, c, gates.write(t, opened), cells.write(t, c), hiddens.write(t, h)

    written = [_numbers(time) for _ in range(3)]
    _, h, c, *written = tf.while_loop(
        lambda t, *others: t < time, step, (0, hidden, cell, *written)
    )
    gates, cells, hiddens = (each.stack() for each in written)

    def backward(d_hiddens, d_h, d_c):
        before = tf.concat([cell[None], cells[:-1]], axis=0)

        def step_back(t, d_h, d_c, d_sums):
            d_sum, d_c = _open_gates_back(gates[t], before[t], cells[t], d_h + d_hiddens[t], d_c)
            return t - 1, _product(d_sum, kernel, transpose_b=True), d_c, d_sums.write(t, d_sum)

        _, d_h, d_c, d_sums = tf.while_loop(
            lambda t, *others: t >= 0, step_back, (time - 1, d_h, d_c, _numbers(time))
        )
        d_sums = d_sums.stack()
        read = tf.concat([hidden[None], hiddens[:-1]], axis=0)
        read, flat = (tf.reshape(each, (-1, each.shape[-1])) for each in (read, d_sums))
        return d_sums, d_h, d_c, _product(tf.transpose(read), flat)

    return (hiddens, h, c), backward
