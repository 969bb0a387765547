"""Look inside a trained model: what its units hold, and what is lost without them (notebook 08)."""

import copy

import numpy as np

from helpers.cells import LSTMCell, softmax
from helpers.sampling import code_lengths


def spread_streams(length, streams, seq_len):
    """Return places in a text of `length` characters: `streams` rows of `seq_len`, far apart.

    Index both the text and whatever was computed from it, so that they stay together.

    Raises
    ------
    ValueError
        If a row is longer than the text, or a number is below 1.

    Examples
    --------
    >>> spread_streams(10, streams=3, seq_len=4).tolist()
    [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    """
    if not (1 <= seq_len <= length and streams >= 1):
        raise ValueError(
            f"A text of {length} characters has no {streams} rows of {seq_len} characters."
        )
    starts = np.linspace(0, length - seq_len, streams).astype(int)
    return starts[:, None] + np.arange(seq_len)


def record(model, ids, names=("cell",), warm_up=0):
    """Read streams side by side, and keep what the units held after each character.

    Parameters
    ----------
    model : CharLSTM
    ids : ndarray of int, shape (streams, time)
    names : sequence of str
        What to keep: "cell", "hidden", "forget_gate" and so on, see `LSTMCell.forward_step`.
    warm_up : int
        The first characters, which are read but not kept.

    Returns
    -------
    list of ndarrays, shape (streams, time - warm_up, hidden_size)
        One for each name, in float32.

    Raises
    ------
    ValueError
        If the warm-up leaves nothing.

    Examples
    --------
    >>> from helpers.sampling import CharLSTM
    >>> model = CharLSTM.load("dracula_256")
    >>> (cell,) = record(model, model.vocab.encode("We went on")[None], warm_up=2)
    >>> cell.shape
    (1, 8, 256)
    """
    streams, time = ids.shape
    if not 0 <= warm_up < time:
        raise ValueError(f"A warm_up of {warm_up} leaves nothing of {time} characters.")
    shape = (streams, time - warm_up, model.cell.hidden_size)
    kept = [np.empty(shape, np.float32) for _ in names]
    state = model.zero_state(streams)
    for t in range(time):
        computed = model.cell.forward_step(model.projected[ids[:, t]], state)
        state = tuple(computed[name] for name in model.cell.state_names)
        if t >= warm_up:
            for array, name in zip(kept, names, strict=True):
                array[:, t - warm_up] = computed[name]
    return kept


def auc(values, labels, chunk=64):
    """Return how well each unit alone tells the labelled characters from the others.

    The area under the ROC curve: the chance that the unit is higher on a labelled character than on
    another, both drawn at random. 0.5 is chance; 0 tells as much as 1. It follows from the ranks of
    the values (Mann and Whitney, 1947).

    Parameters
    ----------
    values : ndarray, shape (n, units)
    labels : ndarray of bool, shape (n,) or (n, properties)
        Each property is true of some characters and false of others.
    chunk : int
        Units that are ranked at a time, which bounds the memory.

    Returns
    -------
    ndarray, shape (units,) or (units, properties)

    Raises
    ------
    ValueError
        If the labels are not as many as the values, or all true, or all false.

    Examples
    --------
    >>> auc(np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 6.0]]), np.array([False, True, True])).tolist()
    [1.0, 0.5]
    """
    if len(values) != len(labels):
        raise ValueError(f"There are {len(values)} characters, but {len(labels)} labels.")
    with_property, without = labels.sum(axis=0), (~labels).sum(axis=0)
    if not np.all(with_property * without):
        raise ValueError("Each property should be true of some characters and false of others.")
    weights, sums = labels.astype(float), []  # of float, so that the product is a fast one
    for start in range(0, values.shape[1], chunk):
        ranks = [ranked(unit) for unit in values[:, start : start + chunk].T]
        sums.append(np.stack(ranks) @ weights)
    below = np.concatenate(sums) - with_property * (with_property + 1) / 2
    return below / (with_property * without)


def ranked(values):
    """Return the rank of each value from 1; equal values share the mean of their ranks.

    >>> ranked(np.array([3.0, 1.0, 3.0]))
    array([2.5, 1. , 2.5])
    """
    order = np.argsort(values)
    sorted_values = values[order]
    first = np.flatnonzero(np.r_[True, sorted_values[1:] != sorted_values[:-1]])
    count = np.diff(np.r_[first, len(values)])
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + (count + 1) / 2, count)
    return ranks


class _HeldCell(LSTMCell):
    """An LSTM cell some of whose units are overwritten after every step."""

    def forward_step(self, projected, state):
        computed = super().forward_step(projected, state)
        rows = np.arange(len(computed["cell"]))[:, None]
        for name, value in self.held.items():
            computed[name][rows, self.units] = value
        return computed


def hold(model, units, hidden=0.0, cell=0.0):
    """Return the same model with some units held at fixed values after every step.

    Parameters
    ----------
    model : CharLSTM
        It stays as it is.
    units : sequence of int, or ndarray of int, shape (batch, n)
        The same units for all texts, or those of each text that is read side by side.
    hidden, cell : float or ndarray, broadcast to the shape of `units`
        What to hold h and c at.

    Returns
    -------
    CharLSTM

    Raises
    ------
    ValueError
        If the model has no such unit.

    Examples
    --------
    >>> from helpers.sampling import CharLSTM
    >>> model = CharLSTM.load("dracula_256")
    >>> _, (hidden, cell) = hold(model, [3], cell=2.0).read("The ")
    >>> hidden[0, 3].item(), cell[0, 3].item()
    (0.0, 2.0)
    """
    units = np.asarray(units)
    if not units.size or not (0 <= units.min() and units.max() < model.cell.hidden_size):
        raise ValueError(f"Units are numbered from 0 to {model.cell.hidden_size - 1}; got {units}.")
    held = copy.copy(model)
    held.cell = _HeldCell(*model.cell.weights)
    held.cell.units = units
    held.cell.held = {"hidden": hidden, "cell": cell}
    return held


def influence(model, ids):
    """Return how much each character matters to the prediction of the last, by the gradient.

    Parameters
    ----------
    model : CharLSTM
    ids : ndarray of int, shape (batch, time)
        The last character of each row is the one predicted.

    Returns
    -------
    ndarray, shape (batch, time - 1)
        Length of the gradient of log2 p(last character) with respect to the embedding of each
        earlier one: in bits, for a step of length 1 in the direction that changes most.

    Examples
    --------
    >>> from helpers.sampling import CharLSTM
    >>> model = CharLSTM.load("dracula_256")
    >>> influence(model, model.vocab.encode("Van Helsing")[None]).shape
    (1, 10)
    """
    trace = model.cell.forward(model.embedding[ids[:, :-1]])
    p = softmax(trace["hidden"][:, -1] @ model.dense_kernel + model.dense_bias)
    d_logits = (np.eye(len(model.vocab), dtype=p.dtype)[ids[:, -1]] - p) / np.log(2)
    d_hidden = np.zeros_like(trace["hidden"])
    d_hidden[:, -1] = d_logits @ model.dense_kernel.T
    return np.linalg.norm(model.cell.backward(trace, d_hidden).x, axis=-1)


def swap_influence(model, ids, distances, rng):
    """Return how much the prediction changes when one earlier character is exchanged.

    Parameters
    ----------
    model : CharLSTM
    ids : ndarray of int, shape (batch, time)
        What is read before the prediction.
    distances : sequence of int
        1 exchanges the last character that was read, `time` the first.
    rng : numpy.random.Generator
        Draws the other character from all of `ids`, so that common ones come often.

    Returns
    -------
    ndarray, shape (len(distances), batch)
        The divergence (Kullback and Leibler, 1951) of the new prediction from the old one, in bits.

    Raises
    ------
    ValueError
        If a distance is outside the text, or all its characters are the same.

    Examples
    --------
    >>> from helpers.sampling import CharLSTM
    >>> model = CharLSTM.load("dracula_256")
    >>> ids = model.vocab.encode("We were in the castle of the Count")[None]
    >>> near, far = swap_influence(model, ids, [1, 30], np.random.default_rng(0))[:, 0]
    >>> bool(near > far)
    True
    """
    batch, time = ids.shape
    if not all(1 <= distance <= time for distance in distances):
        raise ValueError(f"Distances are from 1 to {time}, the number of characters read.")
    if np.all(ids == ids.flat[0]):
        raise ValueError("An exchange needs at least two different characters.")
    versions = np.repeat(ids[None], len(distances) + 1, axis=0)  # the last one stays as it is
    for version, distance in zip(versions, distances, strict=False):
        for row in version:
            row[-distance] = rng.choice(ids[ids != row[-distance]])
    state = model.zero_state(versions.shape[0] * batch)
    for column in versions.reshape(-1, time).T:
        logits, state = model.step(column, state)
    bits = code_lengths(logits).reshape(len(versions), batch, -1)
    return (2.0 ** -bits[-1] * (bits[:-1] - bits[-1])).sum(axis=-1)
