"""What the exercises of notebook 03 ask for, and the usual slips."""

import numpy as np

from helpers.cells import LSTMCell, sigmoid
from helpers.exercises import Wrong, array, exercise, function, near


@exercise(
    "03.1",
    "Which `dh` does the line that starts with `dc = dc + dh` need: the one that came in at this "
    "step, or the one that leaves it?",
    "`dh` is overwritten before `dc` has used it.",
    "Move the line `dc = dc + dh * o * ...` up, above `dh = da[3 * n :] @ ...`.",
)
def mended_backward(answer):
    """Expect a function `backward(steps, dh, dc, W, U)` that returns dW, dU, db of an LSTM."""
    backward = function(answer)
    off = _wrong_blocks(backward, time=1)
    if not off[3] and off[:3].any():
        raise Wrong(
            "Already on a text of one step: the output gate's part is right, the parts of the "
            "others, which come through the cell state, are not. What does dc add up, and when?"
        )
    names = ("the input gate", "the forget gate", "the candidate", "the output gate")
    if off.any():
        wrong = [name for name, bad in zip(names, off, strict=True) if bad]
        raise Wrong(f"Already on a text of one step this is wrong: {', '.join(wrong)}.")
    if _wrong_blocks(backward, time=6).any():
        raise Wrong("Right on one step, wrong on six: what leaves a step for the step before it?")
    return "Every derivative is right. The slip was one line in the wrong place."


def _wrong_blocks(backward, time):
    """Return four booleans: for which of i, f, g, o some derivative is wrong."""
    rng = np.random.default_rng(4)
    cell = LSTMCell(rng.normal(size=(3, 8)), rng.normal(size=(2, 8)), rng.normal(size=8))
    state = (rng.normal(size=(1, 2)), rng.normal(size=(1, 2)))
    trace = cell.forward(rng.normal(size=(1, time, 3)), state)
    gates = [trace[name][0] for name in ("input_gate", "forget_gate", "candidate", "output_gate")]
    old = [trace.previous(name)[0] for name in ("hidden", "cell")]
    steps = list(zip(trace.x[0], *old, *gates, trace["cell"][0], strict=True))
    d_hidden = np.zeros((1, time, 2))
    d_hidden[0, -1] = rng.normal(size=2)
    right = cell.backward(trace, d_hidden).weights
    found = backward(steps, d_hidden[0, -1], np.zeros(2), cell.kernel, cell.recurrent_kernel)
    if not isinstance(found, tuple | list) or len(found) != 3:
        raise Wrong("Return dW, dU, db, in this order.")
    off = [
        ~np.isclose(array(ours, weight.shape), weight).reshape(-1, 4, 2).all(axis=(0, 2))
        for ours, weight in zip(found, right, strict=True)
    ]
    return np.any(off, axis=0)


@exercise(
    "03.2",
    "First find f: which number, to the power of 100, is a half?",
    "f = 0.5 ** 0.01. Then turn f = sigmoid(b) round: b = log(f / (1 - f)).",
)
def half_a_load(answer):
    """Expect the forget-gate bias at which half of a load is left after 100 steps."""
    f = 0.5**0.01
    near(
        answer,
        np.log(f / (1 - f)),
        within=0.02,
        usual={
            f: "That is f itself. Which bias gives it?",
            0.0: "Then half is left after *one* step.",
            np.log10(
                f / (1 - f)
            ): "The sigmoid is made with e, so its inverse has the natural logarithm.",
        },
    )
    return "Nearly 5, where Keras starts at 1. Half a load after 100 steps takes an f of 0.993."


@exercise(
    "03.3",
    "How many blocks of weights does a cell with i = 1 - f need, instead of four?",
    "Three blocks; each has 32 + 256 weights and a bias for each of 256 units.",
)
def coupled_weights(answer):
    """Expect the number of weights of an LSTM with i = 1 - f, 32 inputs and 256 units."""
    block = (32 + 256 + 1) * 256
    near(
        answer,
        3 * block,
        within=0.5,
        usual={
            4 * block: "That is the whole LSTM. Which weights are no longer needed?",
            block: "That is one block, the one that is saved. How many are left?",
            3 * (32 + 256) * 256: "The biases are missing.",
            2 * block: "Only the input gate goes; forget gate, candidate and output gate stay.",
        },
    )
    return "A quarter is saved, and Greff et al. (2017) found that little is lost."


@exercise(
    "03.4",
    "Cut into three: np.split(x @ W + h @ U + b, 3). The input gate is no longer computed.",
    "new_c = f * c + (1 - f) * g, and the hidden state is made of the *new* c.",
)
def coupled_step(answer):
    """Expect a function `step(x, h, c, W, U, b)`, blocks f, g, o, that returns h and c after it."""
    step, rng = function(answer), np.random.default_rng(3)
    x, h, c = rng.normal(size=3), rng.normal(size=4), rng.normal(size=4)
    W, U, b = rng.normal(size=(3, 12)), rng.normal(size=(4, 12)), rng.normal(size=12)
    a_f, a_g, a_o = np.split(x @ W + h @ U + b, 3)
    f, g, o = sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)
    right = f * c + (1 - f) * g
    found = step(x, h, c, W, U, b)
    if not isinstance(found, tuple | list) or len(found) < 2:
        raise Wrong("Return the new h and the new c.")
    new_h, new_c = (array(each, (4,)) for each in found[:2])
    if np.allclose(new_c, o * np.tanh(right)) and np.allclose(new_h, right):
        raise Wrong("h and c came back in the other order.")
    for usual, message in (
        (f * c + f * g, "The input gate is the forget gate here: what stays and what comes should "
         "sum to 1."),
        ((1 - f) * c + f * g, "f says what *stays*: it belongs to the old c."),
        (f * c + g, "The candidate comes in unweighted: what stays and what comes sum to 1."),
        (f * c + (1 - f) * a_g, "The candidate is not squashed: where is its tanh?"),
    ):  # fmt: skip
        if np.allclose(new_c, usual):
            raise Wrong(message)
    if not np.allclose(new_c, right):
        raise Wrong("The new c is wrong. Are the blocks cut in the order f, g, o?")
    if np.allclose(new_h, o * np.tanh(c)):
        raise Wrong("c is right; h is made of the old c, and should be made of the new one.")
    if not np.allclose(new_h, o * np.tanh(right)):
        raise Wrong("c is right, h is not: h = o tanh(new c).")
    return "The GRU's update gate is the same idea."


@exercise(
    "03.5",
    "What arrives at the last step has passed no forget gate yet: it is 1.",
    "On its way back from step t to step t - 1 it is multiplied by f[t]: so the gates after a step "
    "count, its own does not.",
    "np.cumprod over the gates in reverse order, moved by one.",
)
def what_arrives(answer):
    """Expect a function `arriving(f)`: the derivative of the last c by each c, direct path."""
    arriving, f = function(answer), np.random.default_rng(5).uniform(0.2, 1, size=(6, 3))
    found = array(arriving(f.copy()), f.shape)
    after = np.cumprod(f[::-1], axis=0)[::-1]  # a step's own gate included
    right = np.concatenate([after[1:], np.ones((1, 3))])
    for usual, message in (
        (after, "The step's own gate came in: it acts on the c *before* the step."),
        (np.cumprod(f, axis=0), "That is what is left forward from the first step on. Go back from "
         "the last."),
        (right[::-1], "Right values, in reverse order: the last row belongs to the last step."),
        (f, "These are the gates one by one. On a long way they multiply."),
    ):  # fmt: skip
        if np.allclose(found, usual):
            raise Wrong(message)
    if not np.allclose(found, right):
        raise Wrong(
            f"At the last step 1 should arrive, and at the one before {right[-2, 0]:.3f} in the "
            f"first unit; yours are {found[-1, 0]:.3f} and {found[-2, 0]:.3f}."
        )
    return "With all gates at 1 it is the level line of notebook 02."
