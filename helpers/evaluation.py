"""Score a model in bits per character (built in notebook 05)."""

import sys
from functools import lru_cache

import numpy as np
from tqdm import tqdm

from helpers.backend import keras, tf
from helpers.models import zero_state


@lru_cache(maxsize=4)
def _compiled_score(model):
    """Return a function that sums the loss, in nats, over the characters marked in `scored`."""
    ids, scored = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, None), tf.bool)
    state = [tf.TensorSpec(each.shape, tf.float32) for each in model.inputs[1:]]

    # Traced once for texts of any length; otherwise TensorFlow retraces for each new shape, and
    # warns about it.
    @tf.function(input_signature=[ids, ids, scored, state])
    def score(inputs, targets, scored, state):
        logits, *state = model([inputs, *state])
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_sum(tf.where(scored, losses, 0.0)), *state

    return score.get_concrete_function()


def bits_per_char(model, ids, context=(), batch_size=32, overlap=128):
    """Score a text: the mean of -log2 p(character | the characters before it).

    A long text is cut into `batch_size` segments that are read side by side. Each segment first
    reads, unscored, the last `overlap` characters of the one before, so that only the very first
    characters of the text are predicted from nothing. A short text is read as one segment.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`.
    ids : ndarray of int, shape (length,)
    context : ndarray of int, optional
        The characters before `ids`: read, not scored. Without it the first character, which nothing
        precedes, is not scored.
    batch_size, overlap : int

    Returns
    -------
    float
        Bits per character.

    Raises
    ------
    ValueError
        If there is nothing to score.

    Examples
    --------
    >>> from helpers.models import build_char_model
    >>> model = build_char_model(vocab_size=4, hidden_size=8)
    >>> 1 < bits_per_char(model, np.array([0, 1, 2, 3] * 10)) < 4
    True
    """
    context = np.asarray(context, dtype=np.int32)
    context = context[max(0, len(context) - overlap) :]
    text = np.concatenate([context, np.asarray(ids, dtype=np.int32)])
    length, first = len(text) - 1, max(len(context) - 1, 0)
    if len(ids) < 1 or length <= first:
        raise ValueError(f"A text of {len(ids)} characters leaves nothing to score.")
    if length < 4 * batch_size * overlap:
        batch_size, overlap = 1, 0
    stride = -(-(length - overlap) // batch_size)
    column = np.arange(stride + overlap)
    row = np.arange(batch_size)[:, None]
    position = row * stride + column  # in the text, of every character that a segment reads
    scored = (position >= first) & (position < length) & ((column >= overlap) | (row == 0))
    position = np.minimum(position, length - 1)
    state, nats, score = zero_state(model, batch_size), 0.0, _compiled_score(model)
    for start in range(0, len(column), 256):
        part = np.s_[:, start : start + 256]
        inputs, targets = text[position[part]], text[position[part] + 1]
        loss, *state = score(inputs, targets, scored[part], state)
        nats += float(loss)
    return float(nats / np.log(2) / scored.sum())


def bits_while_learning(model, ids, context, rate, piece=50, progress_bar=False):
    """Score a text as a compressor does: pay for a piece of it, learn from that piece, go on.

    "Dynamic evaluation" (Mikolov et al., "Recurrent neural network based language model", 2010;
    Krause et al., "Dynamic evaluation of neural sequence models", 2018), here by plain gradient
    descent. Every character is paid for before anything is learned from it.

    Parameters
    ----------
    model : keras.Model
        From `build_char_model`; it is changed.
    ids : ndarray of int, shape (length,)
    context : ndarray of int
        The characters before `ids`, at least one: read, not scored, not learned from.
    rate : float
        The learning rate; with 0 this is the score of a model that stands still.
    piece : int
        Characters that are paid for between two steps of learning.
    progress_bar : bool

    Returns
    -------
    float
        Bits per character.

    Raises
    ------
    ValueError
        If there is nothing to score, or nothing before it.

    Examples
    --------
    >>> from helpers.models import build_char_model
    >>> model, ids = build_char_model(vocab_size=4, hidden_size=8), np.array([0, 1, 2, 3] * 50)
    >>> bits_while_learning(model, ids, context=[3], rate=1.0, piece=10) < 1.9
    True
    """
    if len(ids) < 1 or len(context) < 1:
        raise ValueError(f"{len(ids)} characters after {len(context)} leave nothing to score.")
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build(model.trainable_variables)
    shape = tf.TensorSpec((1, None), tf.int32)
    state = [tf.TensorSpec(each.shape, tf.float32) for each in zero_state(model, 1)]

    @tf.function(input_signature=[shape, shape, state])
    def pay_and_learn(inputs, targets, state):
        with tf.GradientTape() as tape:
            logits, *state = model([inputs, *state])  # as in an exam: nothing is dropped
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return tf.reduce_sum(losses), *state

    step = pay_and_learn.get_concrete_function()
    context = np.asarray(context, np.int32)[-1000:]
    text = np.concatenate([context[-1:], np.asarray(ids, np.int32)])[None]
    state, nats = zero_state(model, 1), 0.0
    if len(context) > 1:
        _, *state = model([context[None, :-1], *state])
    for start in tqdm(range(0, len(ids), piece), disable=not progress_bar, file=sys.stdout):
        targets = text[:, start + 1 : start + piece + 1]
        inputs = text[:, start : start + targets.shape[1]]
        paid, *state = step(inputs, targets, state)
        nats += float(paid)
    return float(nats / np.log(2) / len(ids))
