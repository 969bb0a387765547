"""Writing text with the NumPy cell: Keras's numbers, and draws that follow the probabilities."""

import itertools
import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from helpers.sampling import (
    CharLSTM,
    CharRNN,
    beam_search,
    generate,
    next_char_probabilities,
    probabilities,
    surprise,
)
from helpers.storage import weight_shapes, write_model
from helpers.text import Vocabulary

ROOT = Path(__file__).resolve().parents[1]
LETTERS = "\n abcdeé☾"
KINDS = {"lstm": CharLSTM, "rnn": CharRNN}


def random_model(seed=0, folder=None, letters=LETTERS, cell="lstm"):
    """Make a model whose weights are not small, so that its predictions differ much."""
    config = {"characters": letters, "hidden_size": 8, "embedding_size": 4, "cell": cell}
    rng = np.random.default_rng(seed)
    weights = [
        rng.normal(size=shape).astype(np.float32) for shape in weight_shapes(config).values()
    ]
    if folder:
        write_model(folder, config, weights)
    return KINDS[cell](Vocabulary(letters), weights)


def forgetful_model(p):
    """Make a model that gives the same probabilities whatever it has read."""
    vocab = Vocabulary("abcdefghijklmnop"[: len(p)])
    shapes = weight_shapes({"characters": vocab.characters, "hidden_size": 1, "embedding_size": 1})
    *weights, _ = [np.zeros(shape, np.float32) for shape in shapes.values()]
    return CharLSTM(vocab, [*weights, np.log(p).astype(np.float32)])


MODEL = random_model()
LOGITS = np.random.default_rng(1).normal(size=(4, 20)) * 3


def entropy(p):
    return -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)


# --- the model ---


@pytest.mark.parametrize("cell", list(KINDS))
def test_logits_equal_those_of_keras(tmp_path, cell):
    from helpers.models import load_model, zero_state

    model = random_model(folder=tmp_path, cell=cell)
    keras_model, vocab = load_model(tmp_path)
    text = np.random.default_rng(2).integers(0, len(LETTERS), (3, 80))
    expected, *expected_state = keras_model([text, *zero_state(keras_model, 3)])
    assert np.ptp(expected) > 3  # the predictions differ much
    for each in (model, CharLSTM.load(tmp_path), CharLSTM.from_keras(keras_model, vocab)):
        assert type(each) is KINDS[cell]
        state = each.zero_state(3)
        for t in range(80):
            logits, state = each.step(text[:, t], state)
            np.testing.assert_allclose(logits, expected[:, t], atol=1e-4)
        np.testing.assert_allclose(state, expected_state, atol=1e-4)


def test_generate_equals_reading_everything_again_for_each_character(tmp_path):
    from helpers.models import load_model, zero_state

    model = random_model(folder=tmp_path)
    keras_model, vocab = load_model(tmp_path)
    text = again = "abc"
    for _ in range(25):
        text += LETTERS[model.read(text)[0][0].argmax()]
        logits = keras_model([vocab.encode(again)[None], *zero_state(keras_model, 1)])[0]
        again += LETTERS[np.argmax(logits[0, -1])]
    assert generate(model, "abc", length=25, temperature=0) == text[3:] == again[3:]
    assert len(set(text)) > 2


def test_weights_of_an_lstm_are_no_plain_network(tmp_path):
    random_model(folder=tmp_path)
    with pytest.raises(ValueError, match="hidden size 8 with 1 gate"):
        CharRNN.load(tmp_path)


def test_a_plain_network_writes_one_text_or_several():
    model = random_model(seed=2, cell="rnn")
    alone, other = (generate(model, prompt, 30, temperature=0) for prompt in ("abc", "d"))
    assert generate(model, ["abc", "d"], 30, temperature=0) == [alone, other]
    assert len(set(alone)) > 2


def test_reading_goes_on_from_a_state():
    whole, _ = MODEL.read("abc de")
    _, state = MODEL.read("abc")
    np.testing.assert_allclose(MODEL.read(" de", state)[0], whole, atol=1e-5)
    assert abs(MODEL.read(" de")[0] - whole).max() > 1e-2  # the state matters


def test_next_char_probabilities():
    p = next_char_probabilities(MODEL, "abc", temperature=0.5, top_k=3)
    assert p.shape == (len(LETTERS),) and (p > 0).sum() == 3
    np.testing.assert_allclose(p, probabilities(MODEL.read("abc")[0][0], 0.5, 3))
    narrow = next_char_probabilities(MODEL, "abc", 2, 5, 0.6)
    assert 1 < (narrow > 0).sum() < 5 and np.array_equal(
        narrow, probabilities(MODEL.read("abc")[0][0], 2, 5, 0.6)
    )


# --- prompts and lengths ---


@pytest.mark.parametrize(
    "write",
    [
        lambda prompt: generate(MODEL, prompt, length=5),
        lambda prompt: next_char_probabilities(MODEL, prompt),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(write):
    with pytest.raises(ValueError, match="prompt is empty: give at least one character"):
        write("")
    with pytest.raises(
        ValueError, match=r"'X' \(position 2 of the text\) is not among the 9 characters"
    ):
        write("abXc")


@pytest.mark.parametrize(
    "prompt", ["a", "☾", "\n", "abcde é☾\n\n" * 1000], ids=lambda prompt: str(len(prompt))
)
def test_prompts_of_any_length_are_read(prompt):
    text = generate(MODEL, prompt, length=7, seed=0)
    assert len(text) == 7 and set(text) <= set(LETTERS)


def test_the_whole_prompt_counts():
    far = [next_char_probabilities(MODEL, start + "ab") for start in "abcde"]
    assert all(abs(one - far[0]).max() > 1e-4 for one in far[1:])


@pytest.mark.parametrize("length", [0, 1, 100])
def test_as_many_characters_as_asked_for(length):
    assert len(generate(MODEL, "ab", length, seed=0)) == length


def test_a_negative_length_is_refused():
    with pytest.raises(ValueError, match="number of characters, not -1"):
        generate(MODEL, "ab", length=-1)


def test_of_no_characters_the_prompt_is_checked_all_the_same():
    with pytest.raises(ValueError, match="empty"):
        generate(MODEL, "", length=0)


# --- several prompts at once ---

PROMPTS = ["a", "bcde é☾\n" * 9, "ab", "a", "☾"]


class Fixed(np.random.Generator):
    """Draws the numbers it was given, or one number always."""

    def __init__(self, numbers):
        super().__init__(np.random.PCG64())
        self.numbers = numbers

    def random(self, size):
        return np.broadcast_to(self.numbers, size)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"top_p": 1e-9}], ids=str)
def test_where_the_draw_is_forced_each_of_several_prompts_gets_what_it_gets_alone(options):
    model = random_model(seed=3)
    alone = [generate(model, prompt, 40, **options) for prompt in PROMPTS]
    assert generate(model, PROMPTS, 40, **options) == alone
    assert len(set(alone)) == 4  # of five prompts, one stands there twice


def test_each_of_several_prompts_has_draws_and_a_state_of_its_own():
    model = random_model(seed=4)
    together = generate(model, PROMPTS, 60, seed=7)
    draws = np.random.default_rng(7).random((60, len(PROMPTS)))
    for prompt, text, draw in zip(PROMPTS, together, draws.T, strict=True):
        assert text == generate(model, prompt, 60, seed=Fixed(draw[:, None]))
    assert together[0] != together[3]  # the same prompt


def test_a_list_of_one_is_the_prompt_alone():
    for options in (
        {"seed": 1},
        {"seed": 2, "temperature": 0.5},
        {"seed": 2, "top_k": 4, "top_p": 0.8},
    ):
        assert generate(MODEL, ["abc"], 30, **options) == [generate(MODEL, "abc", 30, **options)]


@pytest.mark.parametrize("length", [0, 1])
def test_each_of_several_texts_is_as_long_as_asked_for(length):
    texts = generate(MODEL, PROMPTS, length, seed=0)
    assert [len(text) for text in texts] == [length] * len(PROMPTS)


@pytest.mark.parametrize(
    "prompts, message",
    [([], "list of prompts is empty"), (["a", ""], "prompt is empty"), (["a", "X"], "'X'")],
    ids=str,
)
def test_a_list_that_cannot_be_read_is_refused(prompts, message):
    with pytest.raises(ValueError, match=message):
        generate(MODEL, prompts, 3)


# --- seeds ---


def test_the_same_seed_writes_the_same_text():
    def write(seed, **options):
        return generate(MODEL, "abc", length=60, seed=seed, **options)

    assert write(1) == write(1) == write(np.random.default_rng(1))
    assert len({write(seed) for seed in range(5)}) == 5
    assert write(None) != write(None)
    assert write(1, temperature=0) == write(2, temperature=0) == write(3, top_k=1)
    assert write(1).startswith(generate(MODEL, "abc", length=20, seed=1))


# --- temperature and top-k ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [0, 1e-320, 1e-50, 0.01, 0.7, 1, 5, 1e300])
@pytest.mark.parametrize("top_k", [None, 1, np.int64(3), 20.0])
def test_probabilities_add_up_to_one(dtype, temperature, top_k):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = probabilities(LOGITS.astype(dtype), temperature, top_k)
    assert p.shape == LOGITS.shape and p.min() >= 0
    np.testing.assert_allclose(p.sum(axis=-1), 1, atol=1e-6)
    best = LOGITS.argmax(axis=-1)[:, None]
    assert np.array_equal(np.take_along_axis(p, best, axis=-1)[:, 0], p.max(axis=-1))


def test_temperature_one_is_the_softmax():
    np.testing.assert_allclose(
        probabilities(LOGITS),
        np.exp(LOGITS) / np.exp(LOGITS).sum(axis=-1, keepdims=True),
        atol=1e-12,
    )
    np.testing.assert_allclose(probabilities(LOGITS, 0.5), probabilities(2 * LOGITS), atol=1e-12)
    np.testing.assert_allclose(probabilities(LOGITS + 1000), probabilities(LOGITS), atol=1e-12)


def test_heat_adds_entropy():
    entropies = np.array(
        [
            entropy(probabilities(LOGITS, temperature))
            for temperature in (0, 0.1, 0.5, 1, 2, 10, 1e9)
        ]
    )
    assert (np.diff(entropies, axis=0) > 0).all()
    assert (entropies[0] == 0).all()
    np.testing.assert_allclose(entropies[-1], np.log(20), atol=1e-6)


@pytest.mark.parametrize("top_k", [1, 2, 7, 19, 20])
def test_top_k_keeps_the_k_most_likely_in_proportion(top_k):
    kept, every = probabilities(LOGITS, top_k=top_k), probabilities(LOGITS)
    assert ((kept > 0).sum(axis=-1) == top_k).all()
    for row, whole in zip(kept, every, strict=True):
        best = np.argsort(whole)[-top_k:]
        np.testing.assert_allclose(row[best], whole[best] / whole[best].sum(), atol=1e-12)
    np.testing.assert_allclose(
        probabilities(LOGITS, 0.3, top_k),
        probabilities(np.where(kept > 0, LOGITS, -np.inf), 0.3),
        atol=1e-12,
    )


def test_the_first_of_equals_wins_at_temperature_zero():
    assert probabilities(np.array([1.0, 2.0, 2.0]), temperature=0).tolist() == [0, 1, 0]


@pytest.mark.parametrize("temperature", [-1, -1e-9, np.nan, np.inf, -np.inf])
def test_temperatures_that_make_no_sense_are_refused(temperature):
    for act in (
        lambda t: probabilities(LOGITS, t),
        lambda t: generate(MODEL, "a", 3, t),
        lambda t: next_char_probabilities(MODEL, "a", t),
    ):
        with pytest.raises(ValueError, match="temperature is 0 or a positive finite number, not"):
            act(temperature)


@pytest.mark.parametrize("top_k", [0, -1, 10, 2.5, np.nan, np.inf])
def test_top_k_that_makes_no_sense_is_refused(top_k):
    for temperature in (0, 1):
        with pytest.raises(
            ValueError, match=f"whole number from 1 to the size of the vocabulary, 9, not {top_k}"
        ):
            generate(MODEL, "a", 3, temperature, top_k)


# --- top-p ---


def nucleus(p, top_p):
    """Keep the fewest that sum to `top_p`, the likeliest first: the plain way, for one row."""
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    size = next((n for n in range(1, len(ranked)) if sum(p[ranked[:n]]) >= top_p), len(ranked))
    kept = np.where(np.isin(np.arange(len(ranked)), ranked[:size]), p, 0)
    return kept / kept.sum()


@pytest.mark.parametrize(
    "temperature, top_k", [(1, None), (0.3, None), (3, None), (1, 5), (3, 12), (0, None)]
)
@pytest.mark.parametrize("top_p", [1e-300, 0.1, 0.37, 0.7, 0.95, 0.999, 1.0])
def test_top_p_equals_the_plain_way_after_temperature_and_top_k(temperature, top_k, top_p):
    whole = probabilities(LOGITS, temperature, top_k)
    kept = probabilities(LOGITS, temperature, top_k, top_p)
    np.testing.assert_allclose(kept, [nucleus(row, top_p) for row in whole], atol=1e-12)
    assert np.array_equal(probabilities(LOGITS[1], temperature, top_k, top_p), kept[1])


def test_the_order_of_temperature_top_k_and_top_p_matters():
    half, odds = np.log([0.2, 0.5, 0.3]), np.log([0.6, 0.3, 0.1])
    assert (probabilities(half, top_p=0.6) > 0).tolist() == [False, True, True]
    assert (probabilities(half, top_k=2, top_p=0.6) > 0).tolist() == [
        False,
        True,
        False,
    ]  # of two, the first has 0.625
    assert [
        (probabilities(odds, temperature, top_p=0.7) > 0).sum() for temperature in (0.5, 1, 100)
    ] == [
        1,
        2,
        3,
    ]


def test_top_p_of_one_changes_nothing_and_a_tiny_one_keeps_the_favourite():
    for logits in (LOGITS, LOGITS.astype(np.float32), 50 * LOGITS, 0 * LOGITS):
        for options in ({}, {"temperature": 0.1}, {"top_k": 3}):
            assert np.array_equal(
                probabilities(logits, **options, top_p=1), probabilities(logits, **options)
            )
            assert np.array_equal(
                probabilities(logits, **options, top_p=1e-300), probabilities(logits, temperature=0)
            )


def test_of_equals_top_p_keeps_the_first():
    for top_p, kept in {0.25: 1, 0.26: 2, 0.5: 2, 0.51: 3, 0.75: 3, 0.76: 4}.items():
        assert probabilities(np.zeros(4), top_p=top_p).tolist() == [1 / kept] * kept + [0] * (
            4 - kept
        )
    assert (probabilities(np.log([0.2, 0.4, 0.2, 0.2]), top_p=0.5) > 0).tolist() == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("top_p", [0, -0.1, 1.5, np.nan, np.inf])
def test_top_p_that_makes_no_sense_is_refused(top_p):
    for temperature in (0, 1):
        for act in (
            generate,
            lambda model, prompt, _, *options: next_char_probabilities(model, prompt, *options),
        ):
            with pytest.raises(
                ValueError, match=f"top_p is a probability above 0 and at most 1, not {top_p}"
            ):
                act(MODEL, "a", 3, temperature, None, top_p)


# --- draws ---

ODDS = np.array([0.02, 0.3, 0.005, 0.25, 0.1, 0.2, 0.125])


@pytest.mark.parametrize("prompts", ["a", ["a"] * 100], ids=["one prompt", "a hundred"])
@pytest.mark.parametrize(
    "temperature, top_k, top_p",
    [
        (1, None, None),
        (0.5, None, None),
        (2, None, None),
        (1, 3, None),
        (0.7, 5, None),
        (2, 6, 0.6),
    ],
)
def test_characters_are_drawn_as_often_as_probable(temperature, top_k, top_p, prompts):
    model, draws = forgetful_model(ODDS), 20_000
    expected = ODDS ** (1 / temperature)
    if top_k:
        expected[np.argsort(ODDS)[:-top_k]] = 0
    expected = draws * nucleus(expected / expected.sum(), top_p or 1)
    text = "".join(
        generate(model, prompts, draws // len(prompts), temperature, top_k, top_p, seed=1)
    )
    seen = np.bincount(model.vocab.encode(text), minlength=len(ODDS))
    assert (seen[expected == 0] == 0).all()
    possible = expected > 0
    chi_square = ((seen - expected)[possible] ** 2 / expected[possible]).sum()
    freedom = possible.sum() - 1
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


def test_draws_are_independent():
    text = generate(forgetful_model(np.array([0.5, 0.5])), "a", 10_000, seed=3)
    pairs = [text.count(a + b, 0) for a, b in ("ab", "ba")]  # do not overlap with themselves
    assert pairs == pytest.approx([2500, 2500], abs=5 * np.sqrt(10_000 * 3 / 16))


@pytest.mark.parametrize("chance", [0.0, 0.5, np.nextafter(1, 0)])
def test_no_chance_draws_what_is_impossible(chance):
    def write(odds, **options):
        return generate(forgetful_model(np.array(odds)), "a", 3, seed=Fixed(chance), **options)

    assert write([0.2, 0.5, 0.3], top_k=1) == write([0.2, 0.5, 0.3], temperature=0) == "bbb"
    assert set(write([0.1, 0.4, 0.35, 0.15], top_k=2)) <= set("bc")
    assert set(write([0.1, 0.4, 0.35, 0.15], top_p=0.7)) <= set("bc")
    assert set(write([1e-30, 0.6, 0.4, 1e-30], temperature=0.1)) <= set("bc") or chance == 0


# --- surprise ---


def test_surprise_is_what_each_character_costs_one_by_one():
    texts = ["abcde é☾", "aaaaaaaa", "\n \n \n \n ", "cabbed a"]
    found = surprise(MODEL, texts)
    assert found.shape == (4, 7)
    for text, bits in zip(texts, found, strict=True):
        costs = [true_bits(MODEL, text[:i], text[i]) for i in range(1, len(text))]
        np.testing.assert_allclose(bits, costs, atol=1e-4)


def test_an_impossible_character_costs_a_finite_number_of_bits():
    bits = surprise(forgetful_model(np.exp([0.0, -500.0])), ["ab"])
    assert bits == pytest.approx(500 / np.log(2))


@pytest.mark.parametrize(
    "texts, message",
    [([], "same length"), (["ab", "abc"], "same length"), (["a"], "2 char"), (["aX"], "'X'")],
)
def test_texts_that_cannot_be_scored_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        surprise(MODEL, texts)


# --- beam search ---


def true_bits(model, prompt, text):
    """Return -log2 of the probability of `text` after `prompt`, one character after the other."""
    logits, state = model.read(prompt)
    bits = 0
    for index in model.vocab.encode(text):
        bits -= np.log2(probabilities(logits[0].astype(float))[index])
        logits, state = model.step(np.array([index]), state)
    return bits


def exhaustive(model, prompt, length):
    """Return every text of a length with its bits, the most probable first."""
    texts = map("".join, itertools.product(model.vocab.characters, repeat=length))
    return sorted(
        ((text, true_bits(model, prompt, text)) for text in texts), key=lambda found: found[1]
    )


def assert_same_ranking(found, expected):
    assert [text for text, _ in found] == [text for text, _ in expected]
    np.testing.assert_allclose(
        [bits for _, bits in found], [bits for _, bits in expected], atol=1e-4
    )


@pytest.mark.parametrize("seed, length", [(0, 4), (1, 5), (2, 4), (3, 1), (4, 2)])
def test_with_enough_beams_the_search_is_exhaustive(seed, length):
    model = random_model(seed, letters="abc")
    every = exhaustive(model, "cab", length)
    for beams in (3**length, 3**length + 100):
        assert_same_ranking(beam_search(model, "cab", length, beams), every)
    enough = 3 ** (length - 1)  # the texts one character shorter
    assert_same_ranking(beam_search(model, "cab", length, enough), every[:enough])


@pytest.mark.parametrize("beams", [1, 2, 3, 7])
def test_what_few_beams_find(beams):
    missed = 0
    for seed in range(8):
        model = random_model(seed, letters="abc")
        found, best = beam_search(model, "a", 4, beams), exhaustive(model, "a", 4)[0][1]
        texts, bits = zip(*found, strict=True)
        assert len(set(texts)) == len(texts) == beams and {len(text) for text in texts} == {4}
        assert list(bits) == sorted(bits) and all(isinstance(b, float) for b in bits)
        np.testing.assert_allclose(bits, [true_bits(model, "a", text) for text in texts], atol=1e-4)
        assert bits[0] > best - 1e-4
        missed += bits[0] > best + 1e-4
        if beams == 1:
            assert texts[0] == generate(model, "a", 4, temperature=0)
    assert missed > 0 if beams == 1 else missed < 8  # the search is worth its while, and no miracle


def test_one_beam_is_greedy_on_a_long_way():
    assert beam_search(MODEL, "abc ☾", 50, beams=1)[0][0] == generate(
        MODEL, "abc ☾", 50, temperature=0
    )


@pytest.mark.parametrize(
    "prompt, length, beams, message",
    [
        ("a", 0, 8, "not 0 and 8"),
        ("a", -1, 8, "not -1"),
        ("a", 3, 0, "not 3 and 0"),
        ("", 3, 8, "empty"),
        ("X", 3, 8, "'X'"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(prompt, length, beams, message):
    with pytest.raises(ValueError, match=message):
        beam_search(MODEL, prompt, length, beams)


# --- the command ---


@pytest.fixture
def folder(tmp_path):
    random_model(2, folder=tmp_path / "tiny")
    return tmp_path / "tiny"


def run(*arguments):
    start = [sys.executable, "-m", "helpers.sampling", *map(str, arguments)]
    return subprocess.run(start, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")


def test_command_writes_prompt_and_text(folder):
    options = ["--model", folder, "--prompt", "abé☾", "--length", 80]
    options += ["--temperature", 0.9, "--top-k", 5, "--top-p", 0.8]
    first, again, other = (run(*options, "--seed", seed) for seed in (1, 1, 2))
    assert first.returncode == 0
    model = CharLSTM.load(folder)
    assert first.stdout == "abé☾" + generate(model, "abé☾", 80, 0.9, 5, 0.8, seed=1) + "\n"
    assert first.stdout != "abé☾" + generate(model, "abé☾", 80, 0.9, 5, seed=1) + "\n"
    assert first.stdout == again.stdout != other.stdout
    assert re.fullmatch(r"[\d,]+ characters per second\n", first.stderr)


def test_command_fails_with_a_line_and_a_code(folder):
    failed = run("--model", folder, "--prompt", "abX")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert re.fullmatch(r"helpers.sampling: The character 'X' .*\n", failed.stderr)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "nowhere"], "There is no model in 'nowhere'"),
        (["--model", "torn"], ".*model.npz is damaged"),
        (["--prompt", ""], "The prompt is empty"),
        (["--temperature", "-1"], "The temperature is .* not -1.0"),
        (["--temperature", "nan"], "The temperature is .* not nan"),
        (["--top-k", "0"], "top_k is .* not 0"),
        (["--top-k", "10"], "top_k is .* not 10"),
        (["--top-p", "0"], "top_p is .* not 0.0"),
        (["--top-p", "1.5"], "top_p is .* not 1.5"),
        (["--length", "-1"], "The length is .* not -1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_command_says_in_a_line_what_is_wrong(folder, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(folder.parent)
    random_model(folder=folder.parent / "torn")
    (folder.parent / "torn" / "model.npz").write_bytes(b"PK")
    monkeypatch.setattr(sys, "argv", ["sampling", "--model", "tiny", "--prompt", "a", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("helpers.sampling", run_name="__main__")
    assert re.fullmatch(
        f"helpers.sampling: {message}.*", end.value.code
    )  # Python prints it and exits with 1
    assert capsys.readouterr().out == ""
