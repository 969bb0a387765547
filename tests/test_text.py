"""From text to integers and to batches."""

import numpy as np
import pytest

from helpers.text import Vocabulary, make_streams, make_windows

# --- vocabulary ---


@pytest.mark.parametrize(
    "text", ["hello", "a", "aaaa", 'naïve £5\n\t"quoted"', "語 ☾ 😀 é e\u0301"], ids=ascii
)
def test_round_trip(text):
    vocab = Vocabulary.from_text(text)
    assert vocab.characters == "".join(sorted(set(text)))
    ids = vocab.encode(text)
    assert ids.dtype == np.int32 and ids.shape == (len(text),)
    assert set(ids) == set(range(len(vocab)))
    assert vocab.decode(ids) == text
    assert vocab.decode(list(ids)) == text


def test_numbers_follow_the_order_given():
    vocab = Vocabulary("zab")
    assert vocab.encode("abz").tolist() == [1, 2, 0]
    assert vocab.decode([0, 1, 2]) == "zab"


def test_nothing_becomes_nothing():
    vocab = Vocabulary("ab")
    assert vocab.encode("").shape == (0,) and vocab.encode("").dtype == np.int32
    assert vocab.decode([]) == "" == vocab.decode(vocab.encode(""))


def test_membership_length_and_equality():
    vocab = Vocabulary("ab")
    assert len(vocab) == 2 and "a" in vocab and "c" not in vocab and "ab" not in vocab
    assert vocab == Vocabulary("ab") and vocab != Vocabulary("ba") and vocab != "ab"


@pytest.mark.parametrize("characters, message", [("", "empty"), ("aba", "once")])
def test_vocabulary_refuses(characters, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(characters)


def test_vocabulary_of_an_empty_text_is_refused():
    with pytest.raises(ValueError, match="empty"):
        Vocabulary.from_text("")


def test_unknown_character_is_named_with_its_place():
    with pytest.raises(ValueError, match=r"'ż' \(position 3 "):
        Vocabulary("abc").encode("abcżabż")


@pytest.mark.parametrize("ids", [[3], [-1], [0, 1, 2, 3], np.array([[0, -1]])])
def test_number_out_of_range_is_refused(ids):
    with pytest.raises(ValueError, match="0 to 2"):
        Vocabulary("abc").decode(ids)


# --- streams ---


@pytest.mark.parametrize(
    "length, batch_size, seq_len",
    [(100, 3, 4), (97, 3, 4), (98, 3, 4), (13, 3, 4), (2, 1, 1), (50, 1, 7)],
)
def test_streams_run_on_and_targets_come_next(length, batch_size, seq_len):
    inputs, targets = make_streams(np.arange(length), batch_size, seq_len)
    batches = (length - 1) // (batch_size * seq_len)
    assert inputs.shape == targets.shape == (batches, batch_size, seq_len)
    # In this text, the next character is the number plus 1.
    assert np.array_equal(targets, inputs + 1)
    # Row b, read from batch to batch, is one contiguous stretch; the stretches follow each other
    # without gap or overlap.
    read = inputs.transpose(1, 0, 2).reshape(-1)
    assert np.array_equal(read, np.arange(batches * batch_size * seq_len))
    assert targets.max() < length


def test_streams_keep_type_and_text():
    ids = np.array([5, 3, 5, 3, 9], dtype=np.int32)
    inputs, targets = make_streams(ids, batch_size=2, seq_len=2)
    assert inputs.dtype == targets.dtype == np.int32
    assert inputs.tolist() == [[[5, 3], [5, 3]]] and targets.tolist() == [[[3, 5], [3, 9]]]


@pytest.mark.parametrize("batch_size, seq_len", [(0, 4), (3, 0), (-1, 4), (3, -1), (-3, -4)])
def test_streams_of_sizes_below_one_are_refused(batch_size, seq_len):
    with pytest.raises(ValueError, match=f"at least 1, not {batch_size} and {seq_len}"):
        make_streams(np.arange(100), batch_size, seq_len)


@pytest.mark.parametrize("length", [0, 1, 12])
def test_streams_of_too_short_a_text_are_refused(length):
    with pytest.raises(ValueError, match="at least 13"):
        make_streams(np.arange(length), batch_size=3, seq_len=4)


# --- windows ---


@pytest.mark.parametrize("length, seq_len", [(10, 3), (4, 3), (2, 1), (1000, 100)])
def test_every_window_is_followed_by_its_target(length, seq_len):
    ids = np.arange(length) ** 2
    windows, targets = make_windows(ids, seq_len)
    assert windows.shape == (length - seq_len, seq_len) and targets.shape == (length - seq_len,)
    for start in range(length - seq_len):
        assert np.array_equal(windows[start], ids[start : start + seq_len])
        assert targets[start] == ids[start + seq_len]


def test_windows_copy_nothing():
    ids = np.arange(1000)
    windows, targets = make_windows(ids, 100)
    assert np.shares_memory(windows, ids) and np.shares_memory(targets, ids)


@pytest.mark.parametrize("length", [0, 1, 3])
def test_windows_of_too_short_a_text_are_refused(length):
    with pytest.raises(ValueError, match=f"{length} characters has no window of 3"):
        make_windows(np.arange(length), 3)
