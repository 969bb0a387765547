"""The recall task of notebooks 01 to 03: name a country's language, many words later.

    in Spain paints old boats mends small clocks fluent [Spanish]

A reader is trained on some sentences, and asked for the last word of others.
"""

import numpy as np

from helpers.cells import softmax

LANGUAGES = {
    "Spain": "Spanish",
    "France": "French",
    "Italy": "Italian",
    "Poland": "Polish",
    "Japan": "Japanese",
    "Greece": "Greek",
    "Sweden": "Swedish",
    "Turkey": "Turkish",
}
COUNTRIES = list(LANGUAGES)
FILLERS = [
    ["paints", "mends", "sells", "finds", "draws"],
    ["old", "small", "green", "rare", "wooden"],
    ["boats", "clocks", "chairs", "maps", "lamps", "toys"],
]
WORDS = ["in", *COUNTRIES, *(word for kind in FILLERS for word in kind), "fluent"]


def sentences(gap, count, rng):
    """Make sentences up to the word before the answer.

    Parameters
    ----------
    gap : int
        Number of filler words between the country and "fluent": a verb, an adjective, a noun, a
        verb, ...
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    ids : ndarray of int, shape (count, gap + 3)
        Positions in `WORDS`.
    answers : ndarray of int, shape (count,)
        Positions in `COUNTRIES`: whose language is the right answer.

    Raises
    ------
    ValueError
        If the gap is negative.

    Examples
    --------
    >>> ids, answers = sentences(gap=3, count=1, rng=np.random.default_rng(0))
    >>> " ".join(WORDS[i] for i in ids[0])
    'in Sweden finds green clocks fluent'
    >>> COUNTRIES[answers[0]]
    'Sweden'
    """
    if gap < 0:
        raise ValueError(f"A gap is a number of words, 0 or more, not {gap}.")
    answers = rng.integers(len(COUNTRIES), size=count)
    ids = np.empty((count, gap + 3), int)
    ids[:, 0], ids[:, 1], ids[:, -1] = 0, 1 + answers, len(WORDS) - 1
    # Where each kind of filler begins in WORDS.
    first = 1 + len(COUNTRIES) + np.cumsum([0, *map(len, FILLERS)])
    for place in range(gap):
        kind = place % len(FILLERS)
        ids[:, 2 + place] = rng.integers(first[kind], first[kind + 1], size=count)
    return ids, answers


class Reader:
    """A recurrent cell that reads words, and a softmax that answers from its last hidden state.

    Parameters
    ----------
    kind : type
        `RNNCell` or `LSTMCell`.
    vocab_size, answer_count, hidden_size : int
    kernel_std : float, optional
        Standard deviation of what a word contributes to each gate at the start; Keras's small
        values if not given.
    seed : int
    options
        Passed on to `kind.random`, such as `forget_bias`.

    Examples
    --------
    >>> from helpers.cells import RNNCell
    >>> reader = Reader(RNNCell, vocab_size=26, answer_count=8, hidden_size=32)
    >>> reader.probabilities(np.array([[0, 1, 25]])).shape
    (1, 8)
    """

    def __init__(
        self, kind, vocab_size, answer_count, hidden_size=32, kernel_std=None, seed=0, **options
    ):
        rng = np.random.default_rng(seed)
        self.cell = kind.random(vocab_size, hidden_size, rng, **options)
        if kernel_std is not None:
            self.cell.kernel[:] = rng.normal(0, kernel_std, self.cell.kernel.shape)
        limit = np.sqrt(6 / (hidden_size + answer_count))  # Glorot and Bengio (2010)
        self.out_kernel = rng.uniform(-limit, limit, (hidden_size, answer_count)).astype(np.float32)
        self.out_bias = np.zeros(answer_count, np.float32)
        self.one_hot = np.eye(vocab_size, dtype=np.float32)

    @property
    def weights(self):
        """The weights of the cell and of the softmax."""
        return [*self.cell.weights, self.out_kernel, self.out_bias]

    def _answer(self, hidden):
        return softmax(hidden @ self.out_kernel + self.out_bias)

    def probabilities(self, ids):
        """Return the probability of each answer, shape (batch, answer_count).

        `ids` has the shape (batch, time).
        """
        return self._answer(self.cell.forward(self.one_hot[ids]).state[0])

    def accuracy(self, ids, answers):
        """Return the share of sentences whose most probable answer is right."""
        return float((self.probabilities(ids).argmax(axis=1) == answers).mean())

    def gradients(self, ids, answers):
        """Return the mean loss in nats, the gradients for `weights`, and the cell's `Gradients`."""
        trace = self.cell.forward(self.one_hot[ids])
        p = self._answer(trace.state[0])
        rows = np.arange(len(ids))
        loss = -np.log(p[rows, answers] + 1e-30).mean()
        d_logits = p
        d_logits[rows, answers] -= 1
        d_logits /= len(ids)
        d_hidden = np.zeros_like(trace["hidden"])
        d_hidden[:, -1] = d_logits @ self.out_kernel.T
        inner = self.cell.backward(trace, d_hidden)
        return (
            float(loss),
            [*inner.weights, trace.state[0].T @ d_logits, d_logits.sum(axis=0)],
            inner,
        )


def train(reader, make_batch, steps, rate, clip=1.0):
    """Train a reader in place, by Adam (Kingma and Ba, 2015) with clipped gradients.

    Parameters
    ----------
    reader : Reader
    make_batch : callable
        Returns ids and answers, a fresh batch at every call.
    steps : int
    rate : float
        The learning rate.
    clip : float
        The gradients are scaled down together when their norm is above this (Pascanu et al., 2013).

    Returns
    -------
    list of float
        The loss at each step, in nats.
    """
    losses, mean, square = [], [0.0] * len(reader.weights), [0.0] * len(reader.weights)
    for step in range(1, steps + 1):
        loss, gradients, _ = reader.gradients(*make_batch())
        losses.append(loss)
        norm = np.sqrt(sum(float((g**2).sum()) for g in gradients))
        # float(): a NumPy scalar would promote the gradients to 64 bits.
        scale = float(min(1.0, clip / (norm + 1e-12)))
        for i, (weight, g) in enumerate(zip(reader.weights, gradients, strict=True)):
            mean[i] = 0.9 * mean[i] + 0.1 * scale * g
            square[i] = 0.999 * square[i] + 0.001 * (scale * g) ** 2
            weight -= (
                rate * mean[i] / (1 - 0.9**step) / (np.sqrt(square[i] / (1 - 0.999**step)) + 1e-7)
            )
    return losses
