"""Score a model in bits per character (built in notebook 05)."""

from functools import lru_cache

import numpy as np

from helpers.backend import tf
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
