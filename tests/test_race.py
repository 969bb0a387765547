"""The race of notebook 03: how many steps a cell needs to learn the recall task."""

import numpy as np
import pytest

from helpers.backend import tf
from helpers.race import steps_to_learn

pytestmark = pytest.mark.slow
SHORT = {"gap": 1, "size": 16, "most": 300}


def plain_gru(a, U, second_bias, h):
    a_z, a_r, a_g = tf.split(a, 3, axis=1)
    h_z, h_r, h_g = tf.split(h @ U + second_bias, 3, axis=1)
    z, r = tf.sigmoid(a_z + h_z), tf.sigmoid(a_r + h_r)
    return (z * h + (1 - z) * tf.tanh(a_g + r * h_g),)


def test_a_cell_that_can_remember_learns_and_the_seed_decides_when():
    steps = [steps_to_learn(plain_gru, 3, seed, **SHORT) for seed in (0, 0, 1)]
    assert 10 <= steps[0] == steps[1] < 300
    assert steps[0] != steps[2]
    assert steps_to_learn(plain_gru, 3, 0, **SHORT | {"most": steps[0] - 1}) == np.inf


def test_a_cell_that_forgets_never_learns():
    def forgetful(a, U, second_bias, h):
        return plain_gru(a, U, second_bias, tf.zeros_like(h))

    assert steps_to_learn(forgetful, 3, 0, **SHORT) == np.inf


@pytest.mark.parametrize("blocks, states, extra", [(4, 2, (3, 16)), (3, 1, (48,))])
def test_a_cell_is_given_its_blocks_its_states_and_what_else_it_has(blocks, states, extra):
    seen = []

    def spy(a, U, more, *state):
        seen.append((a.shape[1], U.shape, tuple(more.shape), len(state)))
        return state

    steps_to_learn(spy, blocks, 0, **SHORT | {"most": 1})
    assert set(seen) == {(blocks * 16, (16, blocks * 16), extra, states)}


def test_the_gate_that_keeps_starts_with_its_bias_and_peepholes_can_stay_at_zero():
    seen = []

    def spy(a, U, more, h, c):
        tf.py_function(lambda *each: seen.append([np.array(e) for e in each]), [a, more], [])
        return h + tf.reduce_mean(a) + tf.reduce_mean(more), c

    for learns in (False, True):
        seen.clear()
        options = {"keeping_bias": 50.0, "extra_learns": learns} | SHORT | {"most": 2}
        steps_to_learn(spy, 4, 0, **options)
        blocks = seen[0][0].reshape(-1, 4, 16).mean(axis=(0, 2))
        assert blocks.argmax() == 1 and blocks[1] == pytest.approx(50, abs=2)
        assert not seen[0][1].any() and seen[-1][1].any() == learns
