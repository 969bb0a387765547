"""How many steps a cell written in TensorFlow needs to learn the recall task (notebook 03)."""

import numpy as np

from helpers.backend import keras, tf
from helpers.recall import COUNTRIES, WORDS, sentences

BATCH = 32
LOW, IN_A_ROW = 0.2, 10  # it has learned when so many losses, in nats, are below this


def _start(blocks, size, keeping_bias, rng, seed):
    """Return variables: kernel, recurrent kernel, bias, what else the cell has, and the softmax."""
    bias = np.zeros((blocks, size))
    bias[blocks - 3] = keeping_bias  # of f, the second of four blocks, or of z, the first of three
    start = [
        rng.normal(0, 2, (len(WORDS), blocks * size)),
        keras.initializers.Orthogonal(seed=seed)((size, blocks * size)),
        bias.ravel(),
        np.zeros((3, size) if blocks == 4 else 3 * size),
        rng.normal(0, 0.2, (size, len(COUNTRIES))),
    ]
    return [tf.Variable(tf.cast(each, tf.float32)) for each in start]


def steps_to_learn(
    cell, blocks, seed, keeping_bias=1.0, extra_learns=True, gap=15, most=600, size=32
):
    """Train a cell until ten losses in a row are below 0.2 nats; return the number of steps.

    Parameters
    ----------
    cell : callable
        `cell(a, U, extra, *state)` returns the next state, a tuple whose first member is the hidden
        state. `a` is what the word and the bias bring, shape (batch, blocks * size).
    blocks : int
        4 for an LSTM, with two states and an `extra` of peepholes, shape (3, size); 3 for a GRU,
        with one state and an `extra` of second biases, shape (3 * size,).
    seed : int
        Of the weights at the start, and of the sentences.
    keeping_bias : float
        With which the gate that keeps starts: f of an LSTM, z of a GRU.
    extra_learns : bool
        Whether `extra` is trained, or stays at 0.
    gap, most, size : int
        Words between country and question; steps after which it is given up; units.

    Returns
    -------
    int, or infinity
        Infinity if it has not learned within `most` steps.

    Examples
    --------
    >>> steps_to_learn(lambda a, U, extra, h, c: (h, c), blocks=4, seed=0, gap=1, most=12)
    inf
    """
    rng = np.random.default_rng(seed)
    kernel, recurrent, bias, extra, out = weights = _start(blocks, size, keeping_bias, rng, seed)
    learning = weights if extra_learns else [kernel, recurrent, bias, out]
    optimizer = keras.optimizers.Adam(1e-2, global_clipnorm=1.0)

    @tf.function
    def step(ids, answers):
        with tf.GradientTape() as tape:
            state = [tf.zeros((BATCH, size))] * (blocks - 2)
            for t in range(gap + 3):
                state = cell(tf.gather(kernel, ids[:, t]) + bias, recurrent, extra, *state)
            logits = state[0] @ out
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(answers, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, learning, unconnected_gradients="zero")
        optimizer.apply_gradients(zip(gradients, learning, strict=True))
        return loss

    low = 0
    for taken in range(1, most + 1):
        low = low + 1 if step(*sentences(gap, BATCH, rng)) < LOW else 0
        if low == IN_A_ROW:
            return taken
    return np.inf
