"""Write text with a trained model, one character at a time, in NumPy alone (built in notebook 06).

python -m helpers.sampling --model data/models/dracula --prompt "The castle" --length 500 --seed 1
"""

import argparse
import sys
import time

import numpy as np

from helpers.cells import LSTMCell
from helpers.storage import read_model
from helpers.text import Vocabulary


class CharLSTM:
    """A trained character model, run by the NumPy `LSTMCell`.

    Parameters
    ----------
    vocab : Vocabulary
    weights : sequence of ndarray
        In Keras's order: embedding; kernel, recurrent kernel and bias of each layer; kernel and bias of the output.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> logits, state = model.step(model.vocab.encode("T"), model.zero_state())
    >>> logits.shape == (1, len(model.vocab))
    True
    """

    def __init__(self, vocab, weights):
        embedding, *layers, dense_kernel, dense_bias = weights
        self.vocab = vocab
        self.cells = [LSTMCell(*layers[i : i + 3]) for i in range(0, len(layers), 3)]
        # One row per character: what it adds to the gates of the first cell never changes, so it is worked out once.
        self.projected = self.cells[0].project(embedding)
        self.dense_kernel, self.dense_bias = dense_kernel, dense_bias

    @classmethod
    def load(cls, folder):
        """Load a model from a folder, or by its name under `data/models/`; see `helpers.storage.read_model`."""
        config, weights = read_model(folder)
        return cls(Vocabulary(config["characters"]), list(weights.values()))

    @classmethod
    def from_keras(cls, model, vocab):
        """Copy the weights of a model from `helpers.models.build_char_model`."""
        return cls(vocab, model.get_weights())

    def zero_state(self, batch_size=1):
        """Return the state before anything was read: hidden and cell state of each layer."""
        return [cell.zero_state(batch_size) for cell in self.cells]

    def step(self, ids, state):
        """Read one character.

        Parameters
        ----------
        ids : ndarray of int, shape (batch,)
        state : list
            From `zero_state` or the step before.

        Returns
        -------
        logits : ndarray, shape (batch, vocab_size)
            For the character that comes next.
        state : list
        """
        first, *others = self.cells
        new_state = [first.step(self.projected[ids], state[0])]
        for cell, cell_state in zip(others, state[1:], strict=True):
            new_state.append(cell.step(cell.project(new_state[-1][0]), cell_state))
        return new_state[-1][0] @ self.dense_kernel + self.dense_bias, new_state

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


def softmax(logits, temperature=1.0, top_k=None, top_p=None):
    """Turn logits into probabilities.

    Parameters
    ----------
    logits : ndarray, shape (..., vocab_size)
    temperature : float
        Divides the logits: below 1 sharpens, above 1 flattens, 0 leaves only the most likely character.
    top_k : int, optional
        Keep only the `top_k` most likely characters (Fan, Lewis and Dauphin, 2018).
    top_p : float, optional
        Then keep only the nucleus: the fewest characters, likeliest first, whose probabilities, at this temperature, sum to
        `top_p` at least (Holtzman et al., 2020).

    Returns
    -------
    ndarray, shape (..., vocab_size)
        Sums to 1 along the last axis.

    Raises
    ------
    ValueError
        If the temperature is negative or not a finite number, `top_k` not from 1 to vocab_size, or `top_p` not above 0
        and at most 1.

    Examples
    --------
    >>> softmax(np.log([0.2, 0.3, 0.5]), top_k=2).round(3).tolist()
    [0.0, 0.375, 0.625]
    >>> softmax(np.log([0.2, 0.3, 0.5]), top_p=0.6).round(3).tolist()
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
                f"top_k is a whole number from 1 to the size of the vocabulary, {vocab_size}, not {top_k}."
            )
        top_k = int(top_k)
        threshold = np.partition(logits, -top_k, axis=-1)[..., -top_k, None]
        logits = np.where(logits >= threshold, logits, -np.inf)
    if temperature == 0:
        best = np.argmax(logits, axis=-1)[..., None]
        return (np.arange(vocab_size) == best).astype(float)
    with np.errstate(over="ignore"):  # a tiny temperature sends all but the best to minus infinity
        scaled = (logits - logits.max(axis=-1, keepdims=True)) / np.float64(temperature)
    weights = np.exp(scaled)
    probabilities = weights / weights.sum(axis=-1, keepdims=True)
    if top_p is None or top_p == 1:
        return probabilities
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=-1)
    likelier = np.cumsum(ranked, axis=-1) - ranked  # what all the likelier characters have together
    np.put_along_axis(probabilities, order, np.where(likelier < top_p, ranked, 0.0), axis=-1)
    return probabilities / probabilities.sum(axis=-1, keepdims=True)


def next_char_probabilities(model, prompt, temperature=1.0, top_k=None, top_p=None):
    """Return the probability of each character of the vocabulary to follow `prompt`, shape (vocab_size,).

    Parameters and errors are those of `CharLSTM.read` and `softmax`.

    Examples
    --------
    >>> model = CharLSTM.load("dracula")
    >>> model.vocab.decode([next_char_probabilities(model, "Van Helsin").argmax()])
    'g'
    """
    logits, _ = model.read(prompt)
    return softmax(logits[0], temperature, top_k, top_p)


def _rows(states):
    """Put the states of several texts below each other: those of a batch."""
    return [
        tuple(np.concatenate(parts) for parts in zip(*layer, strict=True))
        for layer in zip(*states, strict=True)
    ]


def generate(model, prompt, length=500, temperature=1.0, top_k=None, top_p=None, seed=None):
    """Write `length` characters that follow `prompt`, carrying the state from one to the next.

    Parameters
    ----------
    model : CharLSTM
    prompt : str or list of str
        At least one character. It is read once. Several prompts are continued side by side, which is faster by far than
        one after the other.
    length : int
        Characters to write.
    temperature, top_k, top_p
        See `softmax`.
    seed : int or Generator, optional
        The same seed writes the same text.

    Returns
    -------
    str, or list of str
        What was written, without the prompt; a list if the prompt is one.

    Raises
    ------
    ValueError
        As `CharLSTM.read` and `softmax` do, and if `length` is negative or the list is empty.

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
    read = {text: model.read(text) for text in prompts}  # one that stands there twice is read once
    logits = np.concatenate([read[text][0] for text in prompts])
    state = _rows([read[text][1] for text in prompts])
    written = np.zeros((int(length), len(prompts)), int)
    for step, chance in enumerate(rng.random(written.shape)):
        # Lay the probabilities end to end: `chance` falls into one of them, and that is the draw.
        cumulative = np.cumsum(softmax(logits, temperature, top_k, top_p), axis=-1)
        written[step] = (cumulative <= chance[:, None] * cumulative[:, -1:]).sum(axis=-1)
        logits, state = model.step(written[step], state)
    texts = [model.vocab.decode(column) for column in written.T]
    return texts[0] if isinstance(prompt, str) else texts


def beam_search(model, prompt, length, beams=8):
    """Look for the most probable text of `length` characters after `prompt`.

    At each step every beam is continued by every character, and the `beams` most probable of all of these go on. With one
    beam that is greedy search; only as many beams as there are texts one character shorter would make sure of the best.

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
        As `CharLSTM.read` does, and if `length` or `beams` is below 1.

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
        shifted = logits - logits.max(axis=-1, keepdims=True).astype(float)
        surprise = (np.log(np.exp(shifted).sum(axis=-1, keepdims=True)) - shifted) / np.log(2)
        total = bits[:, None] + surprise  # of each beam continued by each character
        best = np.argsort(total, axis=None, kind="stable")[:beams]
        beam, index = np.unravel_index(best, total.shape)
        bits, texts = total.ravel()[best], np.column_stack([texts[beam], index])
        logits, state = model.step(index, [tuple(part[beam] for part in layer) for layer in state])
    return [(model.vocab.decode(text), float(b)) for text, b in zip(texts, bits, strict=True)]


def main(arguments=None):
    """Write text with a trained model."""
    parser = argparse.ArgumentParser(prog="python -m helpers.sampling", description=main.__doc__)
    parser.add_argument(
        "--model", default="dracula", help="a folder, or the name of one under data/models/"
    )
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--length", type=int, default=500, help="characters to write")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--top-k", type=int, help="keep only so many of the likeliest characters")
    parser.add_argument(
        "--top-p",
        type=float,
        help="keep only the likeliest characters that have this probability together",
    )
    parser.add_argument("--seed", type=int, help="the same seed writes the same text")
    args = parser.parse_args(arguments)
    model = CharLSTM.load(args.model)
    start = time.perf_counter()
    text = generate(
        model, args.prompt, args.length, args.temperature, args.top_k, args.top_p, args.seed
    )
    seconds = time.perf_counter() - start
    print(args.prompt + text)
    print(f"{(len(args.prompt) + args.length) / seconds:,.0f} characters a second", file=sys.stderr)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        sys.exit(f"helpers.sampling: {problem}")
