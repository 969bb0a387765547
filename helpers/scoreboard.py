"""What the network has to beat, in bits per character of one held-out text (built in notebook 04).

`python -m helpers.scoreboard` prints the table: rivals that need no network, and every model under data/models/.
"""

import argparse
import bz2
import lzma
import math
import zlib

import numpy as np
import pyppmd

from helpers.storage import MODELS
from helpers.text import Vocabulary, load_split

WARM_UP = 128  # characters before the held-out text that a model reads, so that it does not start from nothing

# The strongest setting of each. What a file header costs does not matter: it cancels in the difference measured.
COMPRESSORS = {
    "zlib": lambda data: zlib.compress(data, 9),  # gzip's method; looks back over 32 kB only
    "bz2": lambda data: bz2.compress(data, 9),  # sorts 900 kB at a time, each block on its own
    "xz": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "ppmd": lambda data: pyppmd.compress(data, max_order=8, mem_size=64 << 20, variant="I"),
}


def _require_text(train, held_out):
    if not train or not held_out:
        raise ValueError(
            f"Both texts need a character at least: train has {len(train)}, held_out {len(held_out)}."
        )


def _lookup(keys, values, asked, missing):
    """Return the value of each asked key, or `missing` where it is not among the sorted `keys`."""
    place = np.searchsorted(keys, asked) % len(
        keys
    )  # a key beyond the last wraps around, and fails the comparison
    return np.where(keys[place] == asked, values[place], missing)


def witten_bell(seen, asked, alphabet_size):
    """Return the probability of the last character of each row of `asked`, given the characters before it.

    A context h seen N times, before T distinct characters, has P(c | h) = (count(h, c) + T P(c | shorter h)) / (N + T):
    the more kinds of continuation it had, the more say the shorter context has. One never seen leaves all to the
    shorter; below the empty context stands the uniform distribution. (Witten and Bell, "The zero-frequency problem",
    1991, method C, interpolated as by Chen and Goodman, 1998.)

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
            f"A context of {seen.shape[1] - 1} is too long for an alphabet of {alphabet_size} characters."
        )
    probability = np.full(len(asked), 1 / alphabet_size)
    seen_gram = asked_gram = np.int64(0)
    for length in range(seen.shape[1]):
        # Each gram (context of this length, then the character) as one number. The character is the lowest digit:
        # dividing by the base leaves the context, and in sorted order the grams of one context stand together.
        seen_gram = seen_gram + seen[:, -1 - length].astype(np.int64) * base**length
        asked_gram = asked_gram + asked[:, -1 - length].astype(np.int64) * base**length
        grams, count = np.unique(seen_gram, return_counts=True)
        contexts, first, distinct = np.unique(grams // base, return_index=True, return_counts=True)
        n = _lookup(contexts, np.add.reduceat(count, first), asked_gram // base, missing=0)
        t = _lookup(
            contexts, distinct, asked_gram // base, missing=1
        )  # with n = 0: all to the shorter context
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
    """Return the bits per character of `held_out` under an n-gram model with Witten-Bell back-off.

    It looks back over `context` characters (0: the unigram), counts in `train` only, and does not go on learning while
    it reads. All it is told of the held-out text is the alphabet: the characters of both texts, so that a new one costs
    many bits, but not infinitely many. The context of the first held-out characters is the end of `train`.

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
    windows = np.lib.stride_tricks.sliding_window_view(
        ids, context + 1
    )  # row i ends with character i
    probability = witten_bell(windows[: len(train)], windows[len(train) :], len(vocab))
    return float(np.log2(1 / probability).mean())


def compressor_bits(train, held_out, name):
    """Return the bits per character that `held_out` adds to the compressed `train`.

    That is 8 (bytes of both, compressed together - bytes of `train`, compressed) / characters of `held_out`. They are
    compressed in Latin-1 if it has all their characters, as it has Dracula's (a byte each, in the compressor's favour),
    else in UTF-8. `name` is "zlib", "bz2", "xz" or "ppmd". Each goes on learning while it reads, unlike the n-grams.

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
    if name not in COMPRESSORS:
        raise ValueError(f"There is no compressor {name!r} here, but {', '.join(COMPRESSORS)}.")
    encoding = "latin-1" if max(train + held_out) <= "\xff" else "utf-8"
    both, before = (
        len(COMPRESSORS[name](text.encode(encoding))) for text in (train + held_out, train)
    )
    return (
        8 * max(0, both - before) / len(held_out)
    )  # as a very short text grows, it can shrink by a byte


def baselines(train, held_out):
    """Return what needs no network as {name: bits per character of `held_out`}.

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


def table(rows):
    """Return {name: bits per character} as a Markdown table, worst first; equal to two decimals stay in their order.

    >>> print(table({"PPMd": 1.924, "uniform": 6.508}))
    | model   | bits per character |
    |:--------|-------------------:|
    | uniform |               6.51 |
    | PPMd    |               1.92 |
    """
    width = max(map(len, ["model", *rows]))
    lines = [f"| {'model':{width}} | bits per character |", f"|:{'-' * (width + 1)}|{'-' * 19}:|"]
    for name, bits in sorted(rows.items(), key=lambda row: -round(row[1], 2)):
        lines.append(f"| {name:{width}} | {bits:18.2f} |")
    return "\n".join(lines)


class CopyAudit:
    r"""Find what a page shares, word for word, with the text that its writer learned from. Line breaks count as spaces.

    Parameters
    ----------
    source : str
    span : int
        Characters that `share` looks at together. The default, 20, is about four words.

    Examples
    --------
    >>> audit = CopyAudit("I am all in a sea of wonders. I doubt; I fear.", span=10)
    >>> audit.longest("We were in a sea of\ntroubles.")
    ' in a sea of '
    >>> audit.share("in a sea of troubles")
    0.2727272727272727
    """

    def __init__(self, source, span=20):
        self.source, self.span = self._one_line(source), span
        self._spans = {self.source[i : i + span] for i in range(len(self.source) - span + 1)}

    @staticmethod
    def _one_line(text):
        return " ".join(text.split())

    def _copied(self, text):
        return [text[i : i + self.span] in self._spans for i in range(len(text) - self.span + 1)]

    def share(self, text):
        """Return the share, 0 to 1, of the spans of `text` that stand in the source; ValueError if it is too short for one."""
        copied = self._copied(text := self._one_line(text))
        if not copied:
            raise ValueError(f"A text of {len(text)} characters has no span of {self.span}.")
        return sum(copied) / len(copied)

    def longest(self, text):
        """Return the longest passage of `text` that stands in the source, the first of several; "" if there is none."""
        text, best = self._one_line(text), ""
        places = [i for i, copied in enumerate(self._copied(text)) if copied]
        for i in places or range(
            len(text)
        ):  # a long passage begins with a copied span: look there only, if there is one
            while i + len(best) < len(text) and text[i : i + len(best) + 1] in self.source:
                best = text[i : i + len(best) + 1]
        return best


def model_bits(folder, train, held_out):
    """Return the bits per character of `held_out` under the model in `folder`; ValueError if it cannot judge that."""
    from helpers.models import (
        load_model,
    )  # here, because these import TensorFlow, which the baselines do not need
    from helpers.training import bits_per_char

    model, vocab = load_model(folder)
    before = train[-WARM_UP:]
    unknown = "".join(
        sorted({character for character in before + held_out if character not in vocab})
    )
    if unknown:
        raise ValueError(f"its vocabulary lacks {unknown!r}")
    bits = float(bits_per_char(model, vocab.encode(held_out), context=vocab.encode(before)))
    if not math.isfinite(bits):
        raise ValueError(f"its bits per character come out as {bits}")
    return bits


def main(arguments=None):
    """Print the scoreboard of a corpus."""
    parser = argparse.ArgumentParser(prog="python -m helpers.scoreboard", description=main.__doc__)
    parser.add_argument(
        "--corpus", default="dracula", help="name of a corpus, or a text file (default: dracula)"
    )
    parser.add_argument("--fallback", help="the corpus to use if the first cannot be had")
    options = parser.parse_args(arguments)
    try:
        train, held_out = load_split(options.corpus, fallback=options.fallback)
    except (OSError, ValueError) as problem:
        parser.exit(1, f"{problem}\n")
    print(f"The {len(held_out):,} characters held out, given the {len(train):,} others:\n")
    rows, remarks = baselines(train, held_out), []
    for folder in sorted(path.parent for path in MODELS.glob("*/config.json")):
        try:
            rows[f"model {folder.name}"] = model_bits(folder, train, held_out)
        except Exception as problem:  # whatever ails one folder, the others still get their row
            remarks.append(f"No row for the model {folder.name}: {str(problem) or repr(problem)}")
    print("\n".join([table(rows), *remarks]))


if __name__ == "__main__":
    main()
