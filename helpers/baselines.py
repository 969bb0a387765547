"""Rivals that need no network, in bits per character of a held-out text (built in notebook 04)."""

import bz2
import lzma
import math
import zlib

import numpy as np
import pyppmd

from helpers.text import Vocabulary

# The strongest setting of each. A file header costs nothing: it cancels in the difference measured.
COMPRESSORS = {
    "zlib": lambda data: zlib.compress(data, 9),  # gzip's method; looks back over 32 kB only
    "bz2": lambda data: bz2.compress(data, 9),  # sorts 900 kB at a time, each block on its own
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "ppmd": lambda data: pyppmd.compress(data, max_order=8, mem_size=64 << 20, variant="I"),
}


def _require_text(train, held_out):
    if not train or not held_out:
        raise ValueError(
            f"Both texts need at least one character: train has {len(train)}, "
            f"held_out {len(held_out)}."
        )


def _lookup(keys, values, asked, missing):
    """Return the value of each asked key, or `missing` where it is not among the sorted `keys`."""
    place = np.searchsorted(keys, asked) % len(keys)  # beyond the last: compared with the first
    return np.where(keys[place] == asked, values[place], missing)


def witten_bell(seen, asked, alphabet_size):
    """Return the probability of the last character of each row of `asked`, given those before it.

    A context h that was seen N times, before T distinct characters, has
    P(c | h) = (count(h, c) + T P(c | shorter h)) / (N + T): the more kinds of continuation it had,
    the more weight the shorter context gets. A context never seen leaves everything to the shorter
    one; below the empty context is the uniform distribution. (Witten and Bell, "The zero-frequency
    problem", 1991, method C, interpolated as by Chen and Goodman, 1998.)

    Parameters
    ----------
    seen, asked : ndarray of int, shapes (n, context + 1) and (m, context + 1)
        Windows to learn from and to judge: a context and the character after it, numbered from 0 to
        `alphabet_size` - 1. The number `alphabet_size` itself stands for "before the text begins".

    Raises
    ------
    ValueError
        If such a window does not fit a 64-bit integer (91 characters: from a context of 9 on).

    Examples
    --------
    After "abab" and without context, "a" has (2 + 2 * 1/2) / (4 + 2):

    >>> witten_bell(np.array([[0], [1], [0], [1]]), np.array([[0]]), alphabet_size=2)
    array([0.5])
    """
    base = alphabet_size + 1
    if base ** seen.shape[1] >= 2**63:
        raise ValueError(
            f"A context of {seen.shape[1] - 1} is too long for an alphabet of {alphabet_size} "
            "characters."
        )
    probability = np.full(len(asked), 1 / alphabet_size)
    seen_gram = asked_gram = np.int64(0)
    for length in range(seen.shape[1]):
        # Each gram (context of this length, then the character) as one number. The character is the
        # lowest digit: dividing by the base leaves the context, and in sorted order the grams of a
        # context are neighbours.
        seen_gram = seen_gram + seen[:, -1 - length].astype(np.int64) * base**length
        asked_gram = asked_gram + asked[:, -1 - length].astype(np.int64) * base**length
        grams, count = np.unique(seen_gram, return_counts=True)
        contexts, first, distinct = np.unique(grams // base, return_index=True, return_counts=True)
        n = _lookup(contexts, np.add.reduceat(count, first), asked_gram // base, missing=0)
        # With n = 0 and t = 1, everything is left to the shorter context.
        t = _lookup(contexts, distinct, asked_gram // base, missing=1)
        probability = (_lookup(grams, count, asked_gram, missing=0) + t * probability) / (n + t)
    return probability


def uniform_bits(train, held_out):
    """Return the bits per character if all characters of the two texts were equally likely.

    >>> uniform_bits("abc", "abcd")
    2.0
    """
    _require_text(train, held_out)
    return math.log2(len(set(train + held_out)))


def ngram_bits(train, held_out, context):
    """Return the bits per character of `held_out` of an n-gram model with Witten-Bell smoothing.

    It looks back over `context` characters (0: the unigram), counts in `train` only, and does not
    learn while it reads. All it knows of the held-out text is the alphabet: the characters of both
    texts, so that a new one costs many bits, but not infinitely many. The context of the first
    held-out characters is the end of `train`.

    Raises
    ------
    ValueError
        If a text is empty, or the context negative or too long (see `witten_bell`).

    Examples
    --------
    After "b" came "a" 1 time of 1, and without context it has 1/2: (1 + 1 * 1/2) / (1 + 1) = 3/4.

    >>> round(2 ** -ngram_bits("abab", "a", context=1), 6)
    0.75
    """
    _require_text(train, held_out)
    if context < 0:
        raise ValueError(f"A context is 0 characters or more, not {context}.")
    vocab = Vocabulary.from_text(train + held_out)
    ids = np.concatenate([np.full(context, len(vocab)), vocab.encode(train + held_out)])
    # Row i ends with character i.
    windows = np.lib.stride_tricks.sliding_window_view(ids, context + 1)
    probability = witten_bell(windows[: len(train)], windows[len(train) :], len(vocab))
    return float(np.log2(1 / probability).mean())


def compressor_bits(train, held_out, name):
    """Return the bits per character that `held_out` adds to the compressed `train`.

    That is 8 (compressed bytes of both together - compressed bytes of `train`) / characters of
    `held_out`. They are compressed in Latin-1 if it has all their characters, as it has Dracula's
    (one byte each, in the compressor's favour), otherwise in UTF-8. `name` is "zlib", "bz2", "xz"
    or "ppmd", or a function from bytes to their compressed size. Unlike the n-grams, compressors
    learn while they read.

    Raises
    ------
    ValueError
        If a text is empty or the name unknown.

    Examples
    --------
    >>> compressor_bits("to be or not to be " * 50, "to be or not to be " * 50, "xz") < 0.1
    True
    """
    _require_text(train, held_out)
    if not callable(name) and name not in COMPRESSORS:
        raise ValueError(f"There is no compressor {name!r} here, but {', '.join(COMPRESSORS)}.")
    size = name if callable(name) else lambda data: len(COMPRESSORS[name](data))
    encoding = "latin-1" if max(train + held_out) <= "\xff" else "utf-8"
    both, before = (size(text.encode(encoding)) for text in (train + held_out, train))
    added = max(0, both - before)  # a very short text can lose a byte as it grows
    return 8 * added / len(held_out)


def baselines(train, held_out):
    """Return every rival that needs no network, as {name: bits per character of `held_out`}.

    >>> list(baselines("abab", "ab"))[:3]
    ['uniform', 'unigram', 'n-gram, context 2']
    """
    rows = {
        "uniform": uniform_bits(train, held_out),
        "unigram": ngram_bits(train, held_out, context=0),
    }
    for context in (2, 3, 4, 5):
        rows[f"n-gram, context {context}"] = ngram_bits(train, held_out, context)
    for label, name in {
        "gzip (zlib)": "zlib",
        "xz": "xz",
        "bz2": "bz2",
        "PPMd, order 8": "ppmd",
    }.items():
        rows[label] = compressor_bits(train, held_out, name)
    return rows
