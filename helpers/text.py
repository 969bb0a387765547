"""Turn text into integers, and integers into batches (built in notebook 04)."""

import numpy as np


class Vocabulary:
    """Number the distinct characters of a text.

    Parameters
    ----------
    characters : str
        The characters in the order of their numbers, each once.

    Examples
    --------
    >>> vocab = Vocabulary.from_text("hello")
    >>> vocab.encode("hole")
    array([1, 3, 2, 0], dtype=int32)
    >>> vocab.decode([1, 0, 2, 2, 3])
    'hello'
    """

    def __init__(self, characters):
        if not characters:
            raise ValueError("A vocabulary needs at least one character; this text is empty.")
        if len(set(characters)) != len(characters):
            raise ValueError("A vocabulary lists each character once.")
        self.characters = characters
        self._index = {character: index for index, character in enumerate(characters)}

    @classmethod
    def from_text(cls, text):
        """Collect the distinct characters of `text`, sorted."""
        return cls("".join(sorted(set(text))))

    def __len__(self):
        return len(self.characters)

    def __contains__(self, character):
        return character in self._index

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self.characters == other.characters

    def __repr__(self):
        return f"Vocabulary({self.characters!r})"

    def encode(self, text):
        """Return the numbers of the characters of `text`.

        Parameters
        ----------
        text : str

        Returns
        -------
        ndarray of int32, shape (len(text),)

        Raises
        ------
        ValueError
            If a character is not in the vocabulary; the message names it and its place.

        Examples
        --------
        >>> Vocabulary("abc").encode("cab")
        array([2, 0, 1], dtype=int32)
        """
        try:
            return np.array([self._index[character] for character in text], dtype=np.int32)
        except KeyError as unknown:
            character = unknown.args[0]
            raise ValueError(
                f"The character {character!r} (position {text.index(character)} of the text) "
                f"is not among the {len(self)} characters of this vocabulary: {self.characters!r}"
            ) from None

    def decode(self, ids):
        """Return the text of `ids`, a sequence of integers.

        Raises
        ------
        ValueError
            If a number is not one of 0 to len(self) - 1.

        Examples
        --------
        >>> Vocabulary("abc").decode([2, 0, 1])
        'cab'
        """
        ids = np.asarray(ids, dtype=np.int64).reshape(-1)
        if ids.size and not (0 <= ids.min() and ids.max() < len(self)):
            raise ValueError(
                f"This vocabulary has the numbers 0 to {len(self) - 1}, "
                f"got {ids.min()} to {ids.max()}."
            )
        return "".join(self.characters[index] for index in ids)


def make_streams(ids, batch_size, seq_len):
    """Cut a text into parallel streams, read side by side, with a target at every step.

    Row `b` of batch `k + 1` continues row `b` of batch `k`, so the state of the network can be
    carried over.

    Parameters
    ----------
    ids : ndarray of int, shape (length,)
    batch_size : int
        Number of streams.
    seq_len : int
        Characters read from each stream at a time.

    Returns
    -------
    inputs, targets : ndarray, shape (batches, batch_size, seq_len)
        The target of a character is the one that follows it. Characters at the end that do not
        fill a batch are left out.

    Raises
    ------
    ValueError
        If the text is too short for one batch, or a size is below 1.

    Examples
    --------
    >>> inputs, targets = make_streams(np.arange(9), batch_size=2, seq_len=2)
    >>> inputs.tolist()
    [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    >>> targets[0].tolist()
    [[1, 2], [5, 6]]
    """
    if batch_size < 1 or seq_len < 1:
        raise ValueError(f"batch_size and seq_len are at least 1, not {batch_size} and {seq_len}.")
    batches = (len(ids) - 1) // (batch_size * seq_len)
    if batches < 1:
        raise ValueError(
            f"A text of {len(ids)} characters is too short for {batch_size} streams of {seq_len} "
            f"characters: it takes at least {batch_size * seq_len + 1}. "
            "Use a longer text, or a smaller batch_size and seq_len."
        )
    used = batches * batch_size * seq_len

    def cut(part):
        return part.reshape(batch_size, batches, seq_len).transpose(1, 0, 2)

    return cut(ids[:used]), cut(ids[1 : used + 1])


def make_windows(ids, seq_len):
    """Cut a text into overlapping windows, with one target after each.

    Parameters
    ----------
    ids : ndarray of int, shape (length,)
    seq_len : int
        Characters in a window.

    Returns
    -------
    windows : ndarray, shape (length - seq_len, seq_len)
        A view: no character is copied.
    targets : ndarray, shape (length - seq_len,)

    Raises
    ------
    ValueError
        If the text has no character left to be a target.

    Examples
    --------
    >>> windows, targets = make_windows(np.arange(5), seq_len=3)
    >>> windows.tolist(), targets.tolist()
    ([[0, 1, 2], [1, 2, 3]], [3, 4])
    """
    if len(ids) <= seq_len:
        raise ValueError(
            f"A text of {len(ids)} characters has no window of {seq_len} with a target after it."
        )
    return np.lib.stride_tricks.sliding_window_view(ids[:-1], seq_len), ids[seq_len:]
