"""What the exercises of notebook 02 ask for, and the usual slips."""

import numpy as np

from helpers.cells import finite_differences
from helpers.exercises import Wrong, array, exercise, function, near


@exercise(
    "02.1",
    "Solve 0.9 to the power n = 1/1000, with logarithms.",
    "n = log(0.001) / log(0.9). It is no whole number: which whole number is the first below?",
)
def steps_to_a_thousandth(answer):
    """Expect the first whole number of steps after which less than a thousandth is left."""
    near(
        answer,
        66,
        within=0.01,
        usual={
            65: "After 65 steps 0.00106 is left, a little more than a thousandth.",
            30: "Three tenths a step would be for w = 0.79. Take the logarithm of 0.9.",
            44: "After 44 steps a hundredth is left.",
        },
    )
    return "Sixty-six steps, three decades: less than the length of a line of print in characters."


@exercise(
    "02.2",
    "Half of the numbers of 1 - h² are 0, the others 1. Square them, take the mean, take the root.",
    "decades = log10 of that root mean square.",
)
def half_saturated(answer):
    """Expect decades per step: U orthogonal, half of the units flat, half straight."""
    near(
        answer,
        np.log10(np.sqrt(0.5)),
        within=0.004,
        usual={
            np.log10(
                0.5
            ): "That is the mean of 1 - h². The length of a vector takes the root mean square.",
            -np.log10(np.sqrt(0.5)): "The size is right. Does the gradient grow or shrink?",
            np.log(np.sqrt(0.5)): "That is the natural logarithm: a decade is a factor of ten.",
            np.sqrt(0.5): "That is the factor for each step. How many decades is it?",
        },
    )
    return "A decade is gone after seven steps, though half of the units do not squash at all."


@exercise(
    "02.3",
    "What has to be 1 for the line to stay level: the radius, or the radius times something?",
    "radius x 0.8 = 1.",
)
def level_radius(answer):
    """Expect the radius of a scaled orthogonal U that makes up for a root mean square of 0.8."""
    near(
        answer,
        1.25,
        within=0.004,
        usual={
            1.0: "That is level as long as tanh takes nothing. Here it keeps 0.8 at each step.",
            1.2: "1.2 times 0.8 is 0.96, which is a decade after 56 steps.",
            0.8: "Then the line falls twice: once by U and once by tanh.",
            1.5625: "The root is taken already: 0.8 is the root mean square.",
        },
    )
    return "And the hidden states change with U, so that 0.8 moves: it is a target that runs away."


@exercise(
    "02.4",
    "The norm over all arrays together: the root of the sum of all squares.",
    "If that norm is at most the limit, return the arrays as they are; else multiply each of them "
    "by limit / norm, the same number for all.",
)
def clip(answer):
    """Expect a function `clip(gradients, limit)` by the norm of all arrays together."""
    clipped, rng = function(answer), np.random.default_rng(0)
    long, short = [rng.normal(size=(3, 4)), rng.normal(size=5) * 4], [np.array([0.3]), np.zeros(2)]
    found = [np.asarray(each, float) for each in clipped([each.copy() for each in long], 1.0)]
    if [each.shape for each in found] != [each.shape for each in long]:
        raise Wrong("As many arrays should come back as went in, each in its shape.")
    norm = np.sqrt(sum((each**2).sum() for each in long))
    for usual, message in (
        ([each.clip(-1, 1) for each in long], "Each number was clipped by itself, and so the "
         "direction changed. Scale all of them by one factor."),
        ([each / np.linalg.norm(each) for each in long], "Each array was scaled by its own norm. "
         "Then the arrays no longer keep their proportions: take one norm over all."),
        (long, "The gradient came back as long as it was."),
    ):  # fmt: skip
        if all(np.allclose(ours, theirs) for ours, theirs in zip(found, usual, strict=True)):
            raise Wrong(message)
    if not all(np.allclose(ours, each / norm) for ours, each in zip(found, long, strict=True)):
        length = np.sqrt(sum((each**2).sum() for each in found))
        raise Wrong(f"The norm over all should come out as 1, and it is {length:.3f}.")
    kept = clipped([each.copy() for each in short], 1.0)
    if not all(np.allclose(ours, each) for ours, each in zip(kept, short, strict=True)):
        raise Wrong("A gradient shorter than the limit must stay as it is, not be made longer.")
    return "This is what `global_clipnorm` does in Keras."


def _losses_at_every_step(x, W, U, b):
    """Return the states of a plain RNN, and the loss: half of the squared sum of all of them."""
    h = np.zeros((len(x) + 1, len(U)))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ W + h[t] @ U + b)
    return h


@exercise(
    "02.5",
    "Two streams meet in dh[t + 1]: what the loss says about this very step, and what flows back "
    "from later steps.",
    "Begin with dh = np.zeros_like(h); in the loop, first dh[t + 1] += d_hidden[t], then go on as "
    "on the page.",
)
def loss_at_every_step(answer):
    """Expect a function `backward(x, h, d_hidden, W, U)` for a loss that looks at every step."""
    backward, rng = function(answer), np.random.default_rng(1)
    x, W, U, b = (rng.normal(size=size) / 2 for size in ((7, 3), (3, 4), (4, 4), (4,)))
    wanted = rng.normal(size=(7, 4))
    h = _losses_at_every_step(x, W, U, b)
    found = backward(x, h, h[1:] - wanted, W, U)
    if not isinstance(found, tuple | list) or len(found) < 3:
        raise Wrong("Return dW, dU, db, in this order.")
    dU = array(found[1], U.shape)

    def gradient(weight, seen=slice(None)):
        def loss():
            return 0.5 * ((_losses_at_every_step(x, W, U, b)[1:] - wanted)[seen] ** 2).sum()

        return finite_differences(loss, weight)

    if np.allclose(dU, gradient(U, seen=slice(-1, None)), atol=1e-6):
        raise Wrong("Only the last step's loss was used: d_hidden has a row for every step.")
    alone = sum(np.outer(h[t], (h[t + 1] - wanted[t]) * (1 - h[t + 1] ** 2)) for t in range(7))
    if np.allclose(dU, alone, atol=1e-6):
        raise Wrong("Each step was corrected by itself: nothing flows back from the later steps.")
    if not np.allclose(dU, gradient(U), atol=1e-6):
        off = np.abs(dU - gradient(U)).max()
        raise Wrong(f"dU is off by {off:.2g}. Is tanh's 1 - h² applied to *all* that arrives?")
    for name, ours, weight in (("dW", found[0], W), ("db", found[2], b)):
        if not np.allclose(array(ours, weight.shape), gradient(weight), atol=1e-6):
            raise Wrong(f"dU is right, {name} is not.")
    return "A language model is judged at every character, so this is the loop that it needs."
