"""The rivals of the network: probabilities that add up, numbers worked out by hand, and the ones the design measured."""

import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import scoreboard
from helpers import text as texts
from helpers.scoreboard import (
    CopyAudit,
    baselines,
    compressor_bits,
    ngram_bits,
    table,
    uniform_bits,
    witten_bell,
)
from helpers.text import Vocabulary, split_tail

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "data" / "texts" / "345-8.txt"


def random_text(letters, length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list(letters), size=length))


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
        assert ngram_bits("abab", "ac", context) == pytest.approx(
            -(math.log2(first) + math.log2(second)) / 2
        )


def test_a_context_longer_than_the_text_changes_nothing():
    # "bab" was seen nowhere but before the end of the text: everything is left to the context of 2 (see above).
    assert 2 ** -ngram_bits("abab", "a", 2) == pytest.approx(
        (1 + 3 / 4) / 2
    )  # alphabet {a, b}: P(a|b) = 3/4
    for context in (3, 4, 8):
        assert ngram_bits("abab", "a", context) == ngram_bits("abab", "a", 2)


@pytest.mark.parametrize("context", [0, 1, 2, 3, 5])
def test_equals_a_plain_dictionary_version(context):
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
def test_held_out_text_never_reaches_the_counts(context):
    train = random_text("abcd", 300, seed=2)

    def total(length):
        return length * ngram_bits(train, "d" * length, context)

    # A model that learned while reading would find the 1,000th "d" in a row cheaper than the 10th.
    assert total(1000) - total(999) == pytest.approx(total(10) - total(9), abs=1e-8)
    assert total(10) - total(9) > 1


def test_a_new_character_costs_finitely_many_bits():
    bits = ngram_bits("a" * 1000, "z", context=3)
    assert 10 < bits < 50
    assert ngram_bits("a" * 1000, "a", context=3) < 0.01


def test_the_context_of_the_first_character_is_the_end_of_train():
    train = "xaybxayb" * 20  # a comes after x, b after y
    assert (
        ngram_bits(train + "x", "a", context=1) < 0.2 < 3 < ngram_bits(train + "y", "a", context=1)
    )


def test_random_text_costs_the_logarithm_of_its_alphabet():
    train, held_out = split_tail(random_text("0123456789abcdef", 60_000))
    assert uniform_bits(train, held_out) == 4
    assert ngram_bits(train, held_out, context=0) == pytest.approx(4, abs=0.01)
    assert ngram_bits(train, held_out, context=3) > 4
    for name in scoreboard.COMPRESSORS:
        assert 3.97 < compressor_bits(train, held_out, name) < 5, name


# --- the compressors ---


@pytest.mark.parametrize("name", ["zlib", "bz2", "xz", "ppmd"])
def test_a_repeated_text_adds_next_to_nothing(name):
    text = random_text("abcdefghijklmnop", 1000)
    assert compressor_bits(text * 10, text * 10, name) < 0.1
    assert compressor_bits(text * 10, random_text("abcdefghijklmnop", 10_000, seed=1), name) > 3.9


@pytest.mark.parametrize("name", ["zlib", "bz2", "xz", "ppmd"])
def test_bits_are_counted_per_character_in_either_encoding(name):
    text = random_text("abcdefghijklmnop", 20_000)
    plain = compressor_bits(*split_tail(text), name)
    latin = compressor_bits(*split_tail(text.translate({ord("a"): "é"})), name)
    greek = compressor_bits(
        *split_tail(text.translate({ord("a") + i: chr(ord("α") + i) for i in range(16)})), name
    )
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
        with pytest.raises(ValueError, match="character at least"):
            measure(train, held_out)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="not -1"):
        ngram_bits("abc", "abc", context=-1)
    with pytest.raises(ValueError, match="too long for an alphabet of 91"):
        ngram_bits("".join(map(chr, range(32, 123))), "abc", context=9)
    assert ngram_bits("".join(map(chr, range(32, 123))), "abc", context=8) > 0
    with pytest.raises(ValueError, match="'rar'.*zlib, bz2, xz, ppmd"):
        compressor_bits("abc", "abc", "rar")


# --- what was copied ---


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("span", [1, 2, 3, 5])
def test_an_audit_equals_comparing_every_place_with_every_other(span):
    rng, lengths = np.random.default_rng(span), set()
    for _ in range(300):
        source, page = (random_text("aaab \n", rng.integers(0, 15), rng) for _ in range(2))
        audit, plain, text = CopyAudit(source, span), one_line(source), one_line(page)
        pieces = [
            text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)
        ]  # the first begins first
        longest = max((piece for piece in pieces if piece in plain), key=len, default="")
        assert audit.longest(page) == longest
        lengths.add(len(longest) - span)
        spans = [text[i : i + span] for i in range(len(text) - span + 1)]
        if spans:
            assert audit.share(page) == pytest.approx(np.mean([piece in plain for piece in spans]))
        else:
            with pytest.raises(ValueError, match=f"has no span of {span}"):
                audit.share(page)
    assert min(lengths) < 0 < max(lengths)  # shorter than a span, and longer


def test_line_breaks_count_as_spaces_on_both_sides():
    source, page = (
        "I am all in a sea of wonders. I doubt; I fear.",
        "He was all in a sea of wonders, and why not?",
    )
    for blank in ("\n", " \n\n  "):
        broken_source, broken_page = (text.replace(" ", blank) + "\n" for text in (source, page))
        for audit, text in ((CopyAudit(broken_source), page), (CopyAudit(source), broken_page)):
            assert audit.longest(text) == " all in a sea of wonders"
            assert audit.share(text) == pytest.approx(5 / 25)


def test_an_audit_of_a_copy_and_of_nothing():
    text = random_text("abcdefgh ", 500)
    audit = CopyAudit(text)
    assert audit.share(text) == audit.share(text[100:300]) == 1
    assert audit.longest(text[100:300]) == one_line(text[100:300])
    assert (
        audit.share("XYZ" * 20) == 0
        and audit.longest("XYZ" * 20) == audit.longest("") == audit.longest("\n") == ""
    )
    assert CopyAudit("").longest(text) == "" and CopyAudit("").share(text) == 0 == CopyAudit(
        "short"
    ).share(text)
    assert audit.longest(text[50:60].strip()) == one_line(text[50:60])  # shorter than a span
    for short, length in {
        "": 0,
        "\n" * 30: 0,
        "one \n\n line" + "\n" * 20: 8,
        "x" * 19: 19,
    }.items():
        with pytest.raises(ValueError, match=f"text of {length} characters has no span of 20"):
            audit.share(short)


# --- the table and the command ---


def test_table_is_sorted_aligned_and_stable():
    assert table({"b": 2.151, "PPMd, order 8": 1.9243, "a": 2.149, "uniform": 16.5}).split(
        "\n"
    ) == [
        "| model         | bits per character |",
        "|:--------------|-------------------:|",
        "| uniform       |              16.50 |",
        "| b             |               2.15 |",
        "| a             |               2.15 |",
        "| PPMd, order 8 |               1.92 |",
    ]
    rows = table({"a": 2.149, "b": 2.151}).split("\n")[2:]
    assert [row[2] for row in rows] == ["a", "b"]
    assert len(table({}).split("\n")) == 2


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


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    """A corpus of 2,000 characters, an empty folder of models, and models that are named after how they fare."""
    text = random_text("abcdefgh", 2000)
    calls = []

    def load_model(folder):
        if folder.name == "damaged":
            raise ValueError("weights.npz is damaged")
        return folder.name, Vocabulary("abcdefg" if folder.name == "narrow" else "abcdefgh")

    def bits_per_char(model, ids, context=()):
        calls.append((model, ids, context))
        return {"good": 1.25, "broken": math.nan}[model]

    monkeypatch.setitem(sys.modules, "helpers.models", SimpleNamespace(load_model=load_model))
    monkeypatch.setitem(
        sys.modules, "helpers.training", SimpleNamespace(bits_per_char=bits_per_char)
    )
    monkeypatch.setattr(texts, "load_corpus", lambda name, fallback=None: text)
    monkeypatch.setattr(scoreboard, "MODELS", tmp_path)
    return SimpleNamespace(text=text, folder=tmp_path, calls=calls)


def test_command_prints_the_baselines(corpus, capsys, monkeypatch):
    asked = []

    def load(name, fallback=None):
        asked.append((name, fallback))
        return "other text" if name == "speeches" else corpus.text

    monkeypatch.setattr(texts, "load_corpus", load)
    scoreboard.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The 200 characters held out, given the 1,800 others:"
    assert "\n".join(lines[2:]) == table(baselines(*split_tail(corpus.text)))
    scoreboard.main(["--corpus", "my.txt", "--fallback", "speeches"])
    assert asked[:2] == [("dracula", None), ("my.txt", "speeches")]


def test_command_adds_a_row_for_each_model_and_a_line_for_each_that_fails(corpus, capsys):
    for name in ("good", "narrow", "damaged", "broken", "no_model"):
        (corpus.folder / name).mkdir()
        if name != "no_model":
            (corpus.folder / name / "config.json").write_text("{}")
    scoreboard.main([])
    out = capsys.readouterr().out
    assert "| model good        |               1.25 |" in out
    assert out.splitlines()[-3:] == [
        "No row for the model broken: its bits per character come out as nan",
        "No row for the model damaged: weights.npz is damaged",
        "No row for the model narrow: its vocabulary lacks 'h'",
    ]
    assert "no_model" not in out
    _, ids, context = next(call for call in corpus.calls if call[0] == "good")
    decode = Vocabulary("abcdefgh").decode
    assert decode(ids) == corpus.text[1800:]
    assert len(context) and corpus.text[:1800].endswith(decode(context))


def test_command_scores_a_model_that_was_really_saved(monkeypatch, tmp_path, capsys):
    from helpers.models import build_char_model, save_model

    save_model(
        build_char_model(vocab_size=8, hidden_size=4, embedding_size=4),
        Vocabulary("abcdefgh"),
        tmp_path / "tiny",
    )
    save_model(
        build_char_model(vocab_size=8, hidden_size=4, embedding_size=4),
        Vocabulary("abcdefgh"),
        tmp_path / "torn",
    )
    weights = tmp_path / "torn" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:500])
    monkeypatch.setattr(
        texts, "load_corpus", lambda name, fallback=None: random_text("abcdefgh", 2000)
    )
    monkeypatch.setattr(scoreboard, "MODELS", tmp_path)
    scoreboard.main([])
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| model tiny"))
    assert float(row.split("|")[2]) == pytest.approx(
        3, abs=1
    )  # untrained: about the logarithm of the alphabet
    assert lines[-1].startswith("No row for the model torn: ") and "damaged" in lines[-1]


def test_command_says_what_is_wrong_with_the_corpus(corpus, capsys, monkeypatch):
    def unavailable(name, fallback=None):
        raise OSError("Dracula is not here. Three ways on: ...")

    for load_corpus, message in [
        (unavailable, "Three ways on"),
        (lambda *a, **k: "ab", "cannot be split"),
    ]:
        monkeypatch.setattr(texts, "load_corpus", load_corpus)
        with pytest.raises(SystemExit) as end:
            scoreboard.main([])
        assert end.value.code == 1
        captured = capsys.readouterr()
        assert message in captured.err and not captured.out


def test_baselines_do_without_tensorflow():
    code = "import sys; from helpers.scoreboard import baselines; baselines('a', 'b'); print('tensorflow' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout == "False\n"


# --- the real book ---


@pytest.mark.skipif(
    not BOOK.exists(), reason="Dracula is not in data/texts/ (make data fetches it)"
)
def test_dracula_comes_out_as_the_design_measured():
    text = texts.load_corpus("dracula")
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
