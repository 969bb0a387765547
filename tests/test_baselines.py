"""The rivals of the network: sums of probabilities, and numbers worked out by hand or measured."""

import math
from collections import Counter

import numpy as np
import pytest

from helpers.baselines import (
    COMPRESSORS,
    baselines,
    compressor_bits,
    ngram_bits,
    uniform_bits,
    witten_bell,
)
from helpers.corpora import load_corpus, split_tail
from helpers.text import Vocabulary


def windows(ids, context, pad):
    return np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.full(context, pad), ids]), context + 1
    )


# --- the n-gram model ---


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5])
def test_probabilities_over_the_alphabet_add_up_to_one(length):
    text = "the cat sat on the mat; the rat sat on that."
    vocab = Vocabulary.from_text(text + "xyz")
    seen = windows(vocab.encode(text), length, pad=len(vocab))
    contexts = [vocab.encode(context) for context in ("the c", "sat o", "zzzzz", "zthe ", "t.xyz")]
    contexts.append(np.full(5, len(vocab)))  # before the text begins
    for context in contexts:
        context = context[5 - length :]
        asked = np.array([[*context, character] for character in range(len(vocab))])
        probability = witten_bell(seen, asked, len(vocab))
        assert probability.min() > 0
        assert probability.sum() == pytest.approx(1, abs=1e-12)


def test_hand_computed():
    # Train "abab", held out "ac": the alphabet is {a, b, c}, uniform 1/3.
    # No context, 4 seen, 2 distinct:  P(a) = (2 + 2/3) / 6 = 4/9    P(c) = (0 + 2/3) / 6 = 1/9
    # After b (seen once, before a):   P(a|b) = (1 + 1 * 4/9) / 2 = 13/18
    # After a (twice, always b):       P(c|a) = (0 + 1 * 1/9) / 3 = 1/27
    # After ab (once, before a):       P(a|ab) = (1 + 1 * 13/18) / 2 = 31/36
    # After ba (once, before b):       P(c|ba) = (0 + 1 * 1/27) / 2 = 1/54
    assert uniform_bits("abab", "ac") == pytest.approx(math.log2(3))
    for context, first, second in [(0, 4 / 9, 1 / 9), (1, 13 / 18, 1 / 27), (2, 31 / 36, 1 / 54)]:
        bits = -(math.log2(first) + math.log2(second)) / 2
        assert ngram_bits("abab", "ac", context) == pytest.approx(bits)


def test_a_context_longer_than_the_text_changes_nothing():
    # "bab" was seen only before the end of the text: everything is left to the context of 2.
    # The alphabet is {a, b}: P(a|b) = 3/4.
    assert 2 ** -ngram_bits("abab", "a", 2) == pytest.approx((1 + 3 / 4) / 2)
    for context in (3, 4, 8):
        assert ngram_bits("abab", "a", context) == ngram_bits("abab", "a", 2)


@pytest.mark.parametrize("context", [0, 1, 2, 3, 5])
def test_equals_a_plain_dictionary_version(random_text, context):
    text = random_text("aaabbc d", 900, seed=1)
    train, held_out = text[:800], text[800:] + "e"
    alphabet = set(train + held_out)
    counts = {
        n: Counter(train[i : i + n + 1] for i in range(len(train) - n)) for n in range(context + 1)
    }

    def probability(history, character):
        shorter = probability(history[1:], character) if history else 1 / len(alphabet)
        after = [counts[len(history)][history + other] for other in alphabet]
        if not any(after):
            return shorter
        n, t = sum(after), sum(count > 0 for count in after)
        return (counts[len(history)][history + character] + t * shorter) / (n + t)

    everything = train + held_out
    bits = [
        -math.log2(probability(everything[i - context : i], everything[i]))
        for i in range(len(train), len(everything))
    ]
    assert ngram_bits(train, held_out, context) == pytest.approx(np.mean(bits), abs=1e-12)


@pytest.mark.parametrize("context", [0, 2, 4])
def test_held_out_text_never_reaches_the_counts(random_text, context):
    train = random_text("abcd", 300, seed=2)

    def total(length):
        return length * ngram_bits(train, "d" * length, context)

    # A model that learned as it reads would find the 1,000th "d" in a row cheaper than the 10th.
    assert total(1000) - total(999) == pytest.approx(total(10) - total(9), abs=1e-8)
    assert total(10) - total(9) > 1


def test_a_new_character_costs_finitely_many_bits():
    bits = ngram_bits("a" * 1000, "z", context=3)
    assert 10 < bits < 50
    assert ngram_bits("a" * 1000, "a", context=3) < 0.01


def test_the_context_of_the_first_character_is_the_end_of_train():
    train = "xaybxayb" * 20  # a comes after x, b after y
    likely, unlikely = (ngram_bits(train + last, "a", context=1) for last in "xy")
    assert likely < 0.2 < 3 < unlikely


def test_random_text_costs_the_logarithm_of_its_alphabet(random_text):
    train, held_out = split_tail(random_text("0123456789abcdef", 60_000))
    assert uniform_bits(train, held_out) == 4
    assert ngram_bits(train, held_out, context=0) == pytest.approx(4, abs=0.01)
    assert ngram_bits(train, held_out, context=3) > 4
    for name in COMPRESSORS:
        assert 3.97 < compressor_bits(train, held_out, name) < 5, name


# --- the compressors ---


@pytest.mark.parametrize("name", ["zlib", "bz2", "xz", "ppmd"])
def test_a_repeated_text_adds_next_to_nothing(random_text, name):
    text = random_text("abcdefghijklmnop", 1000)
    assert compressor_bits(text * 10, text * 10, name) < 0.1
    assert compressor_bits(text * 10, random_text("abcdefghijklmnop", 10_000, seed=1), name) > 3.9


@pytest.mark.parametrize("name", ["zlib", "bz2", "xz", "ppmd"])
def test_bits_are_counted_per_character_in_either_encoding(random_text, name):
    text = random_text("abcdefghijklmnop", 20_000)
    to_greek = {ord("a") + i: chr(ord("α") + i) for i in range(16)}
    plain = compressor_bits(*split_tail(text), name)
    latin = compressor_bits(*split_tail(text.translate({ord("a"): "é"})), name)
    greek = compressor_bits(*split_tail(text.translate(to_greek)), name)
    assert latin == pytest.approx(plain, abs=0.2)  # one byte for a character, as before
    assert plain - 0.2 < greek < plain + 1.5  # two bytes for a character, of which one tells little


def test_bits_are_never_negative():
    # Python's own zlib needs a byte less for "aaaaa" than for "aaaa".
    assert min(compressor_bits("a" * length, "a", "zlib") for length in range(1, 20)) == 0


# --- small and empty texts ---


@pytest.mark.parametrize(
    "text",
    ["ab", "aa", "abcdefghij", "a" * 10, "a" * 5000, "Dracula ☾ 😀 ñ", "\x00\x01" * 9, "\n\n\n"],
    ids=ascii,
)
def test_any_text_that_can_be_split_has_finite_rows(text):
    train, held_out = split_tail(text, fraction=0.5)
    rows = baselines(train, held_out)
    assert len(rows) == 10
    for name, bits in rows.items():
        assert isinstance(bits, float) and math.isfinite(bits) and bits >= 0, name
    if len(set(text)) == 1:  # nothing is uncertain
        assert rows["uniform"] == rows["unigram"] == rows["n-gram, context 5"] == 0


@pytest.mark.parametrize("train, held_out", [("", "abc"), ("abc", ""), ("", "")])
def test_an_empty_text_is_refused(train, held_out):
    for measure in (
        uniform_bits,
        baselines,
        lambda *texts: ngram_bits(*texts, context=2),
        lambda *texts: compressor_bits(*texts, "xz"),
    ):
        with pytest.raises(ValueError, match="at least one character"):
            measure(train, held_out)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="not -1"):
        ngram_bits("abc", "abc", context=-1)
    with pytest.raises(ValueError, match="too long for an alphabet of 91"):
        ngram_bits("".join(map(chr, range(32, 123))), "abc", context=9)
    assert ngram_bits("".join(map(chr, range(32, 123))), "abc", context=8) > 0
    with pytest.raises(ValueError, match="'rar'.*zlib, bz2, xz, ppmd"):
        compressor_bits("abc", "abc", "rar")


# --- all together ---


def test_baselines_come_in_the_order_of_the_table_of_the_design():
    assert list(baselines("abc", "abc")) == [
        "uniform",
        "unigram",
        *(f"n-gram, context {context}" for context in (2, 3, 4, 5)),
        "gzip (zlib)",
        "xz",
        "bz2",
        "PPMd, order 8",
    ]


@pytest.mark.slow
def test_dracula_comes_out_as_the_design_measured(book):
    text = load_corpus("dracula", folder=book.parent)
    train, held_out = split_tail(text)
    assert (len(text), len(set(text)), len(held_out)) == (841_924, 91, 84_192)
    assert baselines(train, held_out) == pytest.approx(
        {
            "uniform": math.log2(91),
            "unigram": 4.44,
            "n-gram, context 2": 2.79,
            "n-gram, context 3": 2.32,
            "n-gram, context 4": 2.15,
            "n-gram, context 5": 2.15,
            "gzip (zlib)": 3.04,
            "xz": 2.42,
            "bz2": 2.12,
            "PPMd, order 8": 1.92,
        },
        abs=0.03,
    )
