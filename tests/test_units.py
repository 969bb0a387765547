"""`helpers.units`, against plain loops and finite differences."""

import numpy as np
import pytest

from helpers.cells import finite_differences
from helpers.sampling import CharLSTM, CharRNN, code_lengths, generate, surprise
from helpers.text import Vocabulary
from helpers.units import (
    auc,
    hold,
    influence,
    record,
    spread_streams,
    swap_influence,
)


def small(kind=CharLSTM, hidden_size=5, seed=0):
    """Return a model with random weights, in float64."""
    rng, vocab = np.random.default_rng(seed), Vocabulary("abcd")
    cell = kind.kind.random(3, hidden_size, rng, dtype=np.float64)
    sizes = [(4, 3), (hidden_size, 4), (4,)]
    embedding, dense_kernel, dense_bias = (rng.normal(size=size) for size in sizes)
    return kind(vocab, [embedding, *cell.weights, dense_kernel, dense_bias])


@pytest.fixture
def ids():
    return np.random.default_rng(1).integers(4, size=(6, 9))


def test_streams_reach_both_ends_of_the_text_and_are_contiguous():
    places = spread_streams(1000, streams=7, seq_len=50)
    assert places.shape == (7, 50) and places[0, 0] == 0 and places[-1, -1] == 999
    assert (np.diff(places, axis=1) == 1).all()


@pytest.mark.parametrize("length, streams, seq_len", [(10, 3, 11), (10, 0, 5), (10, 2, 0)])
def test_streams_that_do_not_fit_are_refused(length, streams, seq_len):
    with pytest.raises(ValueError, match="A text of 10 characters"):
        spread_streams(length, streams, seq_len)


def test_what_is_recorded_is_what_the_cell_computes(ids):
    model = small()
    trace = model.cell.forward(model.embedding[ids])
    cell, gate = record(model, ids, ("cell", "forget_gate"), warm_up=2)
    np.testing.assert_allclose(cell, trace["cell"][:, 2:], rtol=1e-6)
    np.testing.assert_allclose(gate, trace["forget_gate"][:, 2:], rtol=1e-6)


def test_a_plain_network_can_be_recorded_too(ids):
    model = small(CharRNN)
    (hidden,) = record(model, ids, ("hidden",))
    np.testing.assert_allclose(
        hidden, model.cell.forward(model.embedding[ids])["hidden"], rtol=1e-6
    )


def test_a_warm_up_that_leaves_nothing_is_refused(ids):
    with pytest.raises(ValueError, match="warm_up"):
        record(small(), ids, warm_up=9)


def test_auc_counts_pairs():
    rng = np.random.default_rng(0)
    values = rng.integers(6, size=(40, 5)).astype(float)  # many ties
    labels = rng.random((40, 2)) < 0.4
    for unit in range(5):
        for k in range(2):
            of, other = values[labels[:, k], unit], values[~labels[:, k], unit]
            pairs = [(a > b) + 0.5 * (a == b) for a in of for b in other]
            assert auc(values, labels, chunk=2)[unit, k] == pytest.approx(np.mean(pairs))


def test_auc_of_one_property_needs_no_second_axis():
    values, labels = np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]), np.array([False, True, True])
    np.testing.assert_array_equal(auc(values, labels), [1.0, 0.0])


@pytest.mark.parametrize("labels", [np.ones(3, bool), np.zeros(3, bool)])
def test_auc_of_a_property_without_exceptions_is_refused(labels):
    with pytest.raises(ValueError, match="true of some"):
        auc(np.zeros((3, 2)), labels)


def test_auc_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="3 characters"):
        auc(np.zeros((3, 2)), np.array([True, False]))


def slow_held_bits(model, text, units, hidden, cell):
    """Return the surprise at each character, one step at a time, the units overwritten by hand."""
    state, bits = model.zero_state(), []
    ids = model.vocab.encode(text)
    for now, following in zip(ids[:-1], ids[1:], strict=True):
        h, c = model.cell.step(model.projected[[now]], state)
        h[0, units], c[0, units] = hidden, cell
        bits.append(code_lengths(h @ model.dense_kernel + model.dense_bias)[0, following])
        state = h, c
    return bits


def test_held_units_are_overwritten_after_every_step():
    model, text = small(), "abcdabdcadcb"
    held = hold(model, [1, 4], hidden=[0.3, -0.2], cell=[0.7, 0.0])
    expected = slow_held_bits(model, text, [1, 4], [0.3, -0.2], [0.7, 0.0])
    np.testing.assert_allclose(surprise(held, [text])[0], expected)


def test_each_text_has_its_own_held_units():
    model, text = small(), "abcdabdcadcb"
    held = hold(model, [[0], [3]], hidden=[[0.1], [0.2]], cell=[[1.0], [-1.0]])
    expected = [
        slow_held_bits(model, text, [0], 0.1, 1.0),
        slow_held_bits(model, text, [3], 0.2, -1.0),
    ]
    np.testing.assert_allclose(surprise(held, [text, text]), expected)


def test_holding_leaves_the_model_itself_alone():
    model, text = small(), "abcdabdcadcb"
    before = surprise(model, [text])
    held = hold(model, [0, 1, 2])
    assert not np.allclose(surprise(held, [text]), before)
    np.testing.assert_array_equal(surprise(model, [text]), before)


@pytest.mark.parametrize("units", [[5], [-1], []])
def test_a_unit_that_does_not_exist_is_refused(units):
    with pytest.raises(ValueError, match="from 0 to 4"):
        hold(small(), units)


def test_a_held_unit_holds_while_text_is_written():
    model = small()
    model.dense_kernel[:], model.dense_bias[:] = 0, 0
    model.dense_kernel[2, 3] = 1.0  # unit 2 alone speaks for "d"
    assert generate(hold(model, [2], hidden=50.0), "a", length=6, seed=0) == "dddddd"
    assert "d" not in generate(hold(model, [2], hidden=-50.0), "a", length=40, seed=0)


@pytest.mark.parametrize("kind", [CharLSTM, CharRNN])
def test_influence_is_the_gradient_with_respect_to_each_embedding(kind, ids):
    model = small(kind)
    x = model.embedding[ids[:, :-1]]

    def log2_p():
        hidden = model.cell.forward(x)["hidden"][:, -1]
        bits = code_lengths(hidden @ model.dense_kernel + model.dense_bias)
        return -bits[np.arange(len(ids)), ids[:, -1]].sum()

    expected = np.linalg.norm(finite_differences(log2_p, x), axis=-1)
    np.testing.assert_allclose(influence(model, ids), expected, atol=1e-8)


def test_a_swap_changes_one_character_and_measures_a_divergence():
    model, ids = small(), np.array([[0, 1, 0, 0], [1, 1, 0, 1]])  # only a and b: the other is sure
    result = swap_influence(model, ids, [1, 3], np.random.default_rng(0))
    for k, distance in enumerate([1, 3]):
        for row, old in enumerate(ids):
            new = old.copy()
            new[-distance] = 1 - old[-distance]
            p, q = (
                2.0 ** -code_lengths(model.read(model.vocab.decode(each))[0][0])
                for each in (old, new)
            )
            assert result[k, row] == pytest.approx((p * np.log2(p / q)).sum())


@pytest.mark.parametrize("distance", [0, 5])
def test_a_swap_outside_the_text_is_refused(distance):
    with pytest.raises(ValueError, match="from 1 to 4"):
        swap_influence(small(), np.zeros((2, 4), int), [distance], np.random.default_rng(0))


def test_a_text_of_one_character_leaves_nothing_to_swap():
    with pytest.raises(ValueError, match="two different characters"):
        swap_influence(small(), np.zeros((2, 4), int), [1], np.random.default_rng(0))
