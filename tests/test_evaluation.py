"""Bits per character: each character is scored once, as the NumPy cell scores it."""

import logging

import numpy as np
import pytest

from helpers.evaluation import bits_per_char
from helpers.models import build_char_model
from tests.runs import bits_in_numpy, random_ids


def random_model():
    """Build a model whose weights are not small, so that its predictions differ much."""
    model = build_char_model(8, hidden_size=8, embedding_size=4)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def forgetful():
    """Build a model without memory: nothing from the hidden state, and a shut forget gate."""
    model = random_model()
    embedding, kernel, recurrent_kernel, bias, *dense = model.get_weights()
    kernel[:, 8:16], bias[8:16] = 0, -1000
    model.set_weights([embedding, kernel, 0 * recurrent_kernel, bias, *dense])
    return model


def expected_bits(model, ids, context):
    """Return the mean over `ids`; without a context, nothing predicts the first of them."""
    bits = bits_in_numpy(model, [*context, *ids])
    return bits[-len(ids) if len(context) else None :].mean()


@pytest.mark.parametrize(
    "length, context", [(2, 0), (1, 1), (1, 60), (257, 0), (300, 1), (300, 128), (300, 50)]
)
def test_bits_of_a_short_text(model, length, context):
    ids, before = random_ids(length), random_ids(context, seed=2)
    expected = expected_bits(model, ids, before)
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=1e-4)


def test_of_a_long_context_the_end_is_read(model):
    ids, before = random_ids(40), random_ids(1000, seed=2)
    expected = expected_bits(model, ids, before[-128:])
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=1e-4)
    assert bits_per_char(model, ids) != pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "length, context", [(256, 0), (257, 0), (1000, 1), (1001, 7), (1002, 16), (5003, 500)]
)
def test_each_character_of_a_long_text_is_scored_once(forgetful, length, context):
    # For a model without memory it makes no difference where the text is cut.
    ids, before = random_ids(length), random_ids(context, seed=2)
    expected = expected_bits(forgetful, ids, before)
    bits = bits_per_char(forgetful, ids, context=before, batch_size=4, overlap=16)
    assert bits == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("context", [0, 200])
def test_bits_of_a_long_text_are_those_of_one_stream(model, context):
    ids, before = random_ids(17_000), random_ids(context, seed=2)
    expected = expected_bits(model, ids, before)
    assert bits_per_char(model, ids, context=before) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("length, context", [(0, 0), (1, 0), (0, 5)])
def test_nothing_to_score_is_refused(model, length, context):
    with pytest.raises(ValueError, match=f"{length} characters leaves nothing to score"):
        bits_per_char(model, random_ids(length), context=random_ids(context))


@pytest.fixture
def fresh_warnings(monkeypatch):
    """Let TensorFlow warn as if it had compiled nothing before: it warns twice in a process."""
    from tensorflow.python.eager.polymorphic_function import polymorphic_function

    manager = "_frequent_tracing_detector_manager"
    fresh = type(getattr(polymorphic_function, manager))()
    monkeypatch.setattr(polymorphic_function, manager, fresh)
    monkeypatch.setattr(logging.getLogger("tensorflow"), "propagate", True)


def test_scoring_many_models_brings_no_warning(fresh_warnings, caplog):
    for _ in range(8):
        bits_per_char(random_model(), random_ids(20))
    assert not caplog.records


def test_scoring_texts_of_many_lengths_brings_no_warning(fresh_warnings, caplog, model):
    for length in range(20, 400, 30):
        bits_per_char(model, random_ids(length))
    assert not caplog.records
