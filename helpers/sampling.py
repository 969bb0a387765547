"""Write text with a trained model, one character at a time, in NumPy alone (built in notebook 06).

python -m helpers.sampling --model data/models/dracula --prompt "The castle" --length 500 --seed 1
"""

import argparse
import sys
import time

import numpy as np

from helpers.cells import LSTMCell, RNNCell, softmax
from helpers.storage import read_model
from helpers.text import Vocabulary


class CharLSTM:
    """A trained character model, run by the NumPy `LSTMCell`.

    Parameters
    ----------
    vocab : Vocabulary
    weights : sequence of ndarray
        In Keras's order: embedding; kernel, recurrent kernel and bias of the cell; kernel and bias
        of the output.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> logits, state = model.step(model.vocab.encode("T"), model.zero_state())
    >>> logits.shape == (1, len(model.vocab))
    True
    """

    kind = LSTMCell

    def __init__(self, vocab, weights):
        self.embedding, *recurrent, self.dense_kernel, self.dense_bias = weights
        self.vocab, self.cell = vocab, self.kind(*recurrent)
        # What a character contributes to the gates never changes: one row for each, computed once.
        self.projected = self.cell.project(self.embedding)

    @classmethod
    def load(cls, folder):
        """Load a model by its folder or its name; see `helpers.storage.read_model`.

        A plain recurrent network comes as a `CharRNN`.
        """
        config, weights = read_model(folder)
        return cls._of(Vocabulary(config["characters"]), list(weights.values()))

    @classmethod
    def from_keras(cls, model, vocab):
        """Copy the weights of a model from `helpers.models.build_char_model`."""
        return cls._of(vocab, model.get_weights())

    @classmethod
    def _of(cls, vocab, weights):
        """Return a model with the cell that the weights are of: a plain one has a square kernel."""
        rows, columns = weights[2].shape
        return (CharRNN if rows == columns else cls)(vocab, weights)

    def zero_state(self, batch_size=1):
        """Return the state before anything was read: hidden and cell, (batch_size, hidden_size)."""
        return self.cell.zero_state(batch_size)

    def step(self, ids, state):
        """Read one character.

        Parameters
        ----------
        ids : ndarray of int, shape (batch,)
        state : tuple of two ndarrays, shape (batch, hidden_size)
            From `zero_state` or the step before.

        Returns
        -------
        logits : ndarray, shape (batch, vocab_size)
            For the character that comes next.
        state : tuple of two ndarrays, shape (batch, hidden_size)
        """
        state = self.cell.step(self.projected[ids], state)
        return state[0] @ self.dense_kernel + self.dense_bias, state

    def read(self, text, state=None):
        """Read a prompt; return the logits for what follows it, and the state.

        Raises
        ------
        ValueError
            If the prompt is empty, or has a character that the model does not know.
        """
        if not text:
            raise ValueError(
                "The prompt is empty: give at least one character, for example a new line, '\\n'."
            )
        state = self.zero_state() if state is None else state
        for index in self.vocab.encode(text):
            logits, state = self.step(np.array([index]), state)
        return logits, state


class CharRNN(CharLSTM):
    """A character model with a plain recurrent cell: its state is the hidden state alone.

    Examples
    --------
    >>> (hidden,) = CharRNN.load("rnn_243").zero_state()
    >>> hidden.shape
    (1, 243)
    """

    kind = RNNCell


def probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    """Turn logits into the probabilities from which the next character is drawn.

    Parameters
    ----------
    logits : ndarray, shape (..., vocab_size)
    temperature : float
        Divides the logits: below 1 sharpens, above 1 flattens, 0 leaves only the most likely
        character.
    top_k : int, optional
        Keep only the `top_k` most likely characters, and ties with the last of them (Fan, Lewis and
        Dauphin, 2018).
    top_p : float, optional
        Then keep only the nucleus: the fewest characters, the most likely first, whose
        probabilities, at this temperature, sum to at least `top_p` (Holtzman et al., 2020).

    Returns
    -------
    ndarray, shape (..., vocab_size)
        Sums to 1 along the last axis.

    Raises
    ------
    ValueError
        If the temperature is negative or not a finite number, `top_k` not from 1 to vocab_size, or
        `top_p` not above 0 and at most 1.

    Examples
    --------
    >>> probabilities(np.log([0.2, 0.3, 0.5]), top_k=2).round(3).tolist()
    [0.0, 0.375, 0.625]
    >>> probabilities(np.log([0.2, 0.3, 0.5]), top_p=0.6).round(3).tolist()
    [0.0, 0.375, 0.625]
    """
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is a probability above 0 and at most 1, not {top_p}.")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"The temperature is 0 or a positive finite number, not {temperature}.")
    vocab_size = logits.shape[-1]
    if top_k is not None:
        if not 1 <= top_k <= vocab_size or top_k != int(top_k):
            raise ValueError(
                f"top_k is a whole number from 1 to the size of the vocabulary, {vocab_size}, "
                f"not {top_k}."
            )
        top_k = int(top_k)
        threshold = np.partition(logits, -top_k, axis=-1)[..., -top_k, None]
        logits = np.where(logits >= threshold, logits, -np.inf)
    if temperature == 0:
        best = np.argmax(logits, axis=-1)[..., None]
        return (np.arange(vocab_size) == best).astype(float)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to minus infinity
        scaled = (logits - logits.max(axis=-1, keepdims=True)) / np.float64(temperature)
    p = softmax(scaled)
    if top_p is None or top_p == 1:
        return p
    order = np.argsort(-p, axis=-1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=-1)
    more_likely = np.cumsum(ranked, axis=-1) - ranked  # sum over all the more likely characters
    np.put_along_axis(p, order, np.where(more_likely < top_p, ranked, 0.0), axis=-1)
    return p / p.sum(axis=-1, keepdims=True)


def next_char_probabilities(model, prompt, temperature=1.0, top_k=None, top_p=None):
    """Return the probability of each character to come after `prompt`, shape (vocab_size,).

    Parameters and errors are those of `CharLSTM.read` and `probabilities`.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> model.vocab.decode([next_char_probabilities(model, "Van Helsin").argmax()])
    'g'
    """
    logits, _ = model.read(prompt)
    return probabilities(logits[0], temperature, top_k, top_p)


def generate(model, prompt, length=500, temperature=1.0, top_k=None, top_p=None, seed=None):
    """Write `length` characters that follow `prompt`, carrying the state from one to the next.

    Parameters
    ----------
    model : CharLSTM
    prompt : str or list of str
        At least one character. Several prompts are continued side by side, which is much faster
        than one after the other.
    length : int
        Characters to write.
    temperature, top_k, top_p
        See `probabilities`.
    seed : int or Generator, optional
        The same seed writes the same text.

    Returns
    -------
    str, or list of str
        What was written, without the prompt; a list if the prompt is a list.

    Raises
    ------
    ValueError
        As `CharLSTM.read` and `probabilities`, and if `length` is negative or the list is empty.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> generate(model, "Van Hel", length=4, temperature=0)
    'sing'
    >>> generate(model, ["Van Hel", "Dr. Sew"], length=2, temperature=0)
    ['si', 'ar']
    """
    if length < 0 or length != int(length):
        raise ValueError(f"The length is a whole number of characters, not {length}.")
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    if not prompts:
        raise ValueError("The list of prompts is empty.")
    rng = np.random.default_rng(seed)
    read = {text: model.read(text) for text in prompts}  # a prompt that occurs twice is read once
    logits = np.concatenate([read[text][0] for text in prompts])
    states = [read[text][1] for text in prompts]
    state = tuple(np.concatenate(rows) for rows in zip(*states, strict=True))
    written = np.zeros((int(length), len(prompts)), int)
    for step, chance in enumerate(rng.random(written.shape)):
        p = probabilities(logits, temperature, top_k, top_p)
        # Lay the probabilities end to end: `chance` falls into one of them, and that is the draw.
        cumulative = np.cumsum(p, axis=-1)
        written[step] = (cumulative <= chance[:, None] * cumulative[:, -1:]).sum(axis=-1)
        logits, state = model.step(written[step], state)
    texts = [model.vocab.decode(column) for column in written.T]
    return texts[0] if isinstance(prompt, str) else texts


def beam_search(model, prompt, length, beams=8):
    """Search for the most probable text of `length` characters after `prompt`.

    At each step every beam is continued by every character, and the `beams` most probable results
    are kept. One beam is greedy search; finding the best text for certain would take as many beams
    as there are texts one character shorter.

    Parameters
    ----------
    model : CharLSTM
    prompt : str
    length, beams : int

    Returns
    -------
    list of (str, float)
        Texts, and -log2 of their probability in bits, the most probable first.

    Raises
    ------
    ValueError
        As `CharLSTM.read`, and if `length` or `beams` is below 1.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> text, bits = beam_search(model, "Van Hel", length=4)[0]
    >>> text
    'sing'
    """
    if length < 1 or beams < 1:
        raise ValueError(f"length and beams are at least 1, not {length} and {beams}.")
    logits, state = model.read(prompt)
    bits, texts = np.zeros(1), np.zeros((1, 0), int)
    for _ in range(length):
        total = bits[:, None] + code_lengths(logits)  # of each beam continued by each character
        best = np.argsort(total, axis=None, kind="stable")[:beams]
        beam, index = np.unravel_index(best, total.shape)
        bits, texts = total.ravel()[best], np.column_stack([texts[beam], index])
        logits, state = model.step(index, tuple(part[beam] for part in state))
    return [(model.vocab.decode(text), float(b)) for text, b in zip(texts, bits, strict=True)]


def surprise(model, texts):
    """Return how much each character of some texts surprises a model: -log2 of its probability.

    Parameters
    ----------
    model : CharLSTM
    texts : list of str
        Of the same length, at least 2. They are read side by side.

    Returns
    -------
    ndarray, shape (len(texts), length - 1)
        In bits, from the second character on: the first is read, but nothing predicts it.

    Raises
    ------
    ValueError
        If the texts differ in length, or have a character that the model does not know.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> expected, odd = surprise(model, ["Van Helsing", "Van Helsinq"])[:, -1]
    >>> bool(expected < 0.1 and odd > 5)
    True
    """
    if len({len(text) for text in texts}) != 1 or len(texts[0]) < 2:
        raise ValueError("The texts should have the same length, at least 2 characters.")
    ids = np.array([model.vocab.encode(text) for text in texts])
    state, bits = model.zero_state(len(texts)), []
    for now, following in zip(ids.T[:-1], ids.T[1:], strict=True):
        logits, state = model.step(now, state)
        bits.append(code_lengths(logits)[np.arange(len(texts)), following])
    return np.stack(bits, axis=1)


def code_lengths(logits):
    """Return -log2 of the softmax of `logits`: finite where the probability itself underflows.

    Examples
    --------
    >>> code_lengths(np.log([0.25, 0.25, 0.5])).tolist()
    [2.0, 2.0, 1.0]
    """
    shifted = logits - logits.max(axis=-1, keepdims=True).astype(float)
    return (np.log(np.exp(shifted).sum(axis=-1, keepdims=True)) - shifted) / np.log(2)


def main(arguments=None):
    """Write text with a trained model."""
    parser = argparse.ArgumentParser(prog="python -m helpers.sampling", description=main.__doc__)
    model_help = "a folder, or the name of one in data/models/"
    parser.add_argument("--model", default="dracula", help=model_help)
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--length", type=int, default=500, help="characters to write")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-k", type=int, help="keep only this many characters")
    parser.add_argument("--top-p", type=float, help="keep the fewest that sum to this probability")
    parser.add_argument("--seed", type=int, help="the same seed writes the same text")
    args = parser.parse_args(arguments)
    options = {name: getattr(args, name) for name in ("temperature", "top_k", "top_p", "seed")}
    model = CharLSTM.load(args.model)
    start = time.perf_counter()
    text = generate(model, args.prompt, args.length, **options)
    seconds = time.perf_counter() - start
    print(args.prompt + text)
    print(
        f"{(len(args.prompt) + args.length) / seconds:,.0f} characters per second", file=sys.stderr
    )


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        sys.exit(f"helpers.sampling: {problem}")
