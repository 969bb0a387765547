"""What the exercises of notebook 05 ask for, and the usual slips."""

import numpy as np

from helpers.exercises import Wrong, array, exercise, function, near


@exercise(
    "05.1",
    "A nat is the bit of the natural logarithm. How many bits are in one?",
    "Divide by ln 2, which is 0.693.",
)
def nats_to_bits(answer):
    """Expect a loss of 1.31 nats in bits."""
    near(
        answer,
        1.31 / np.log(2),
        within=0.006,
        usual={
            1.31 * np.log(2): "The other way: a bit is less than a nat, so there are more of them.",
            2**1.31: "That is a number of equal choices, taken to the wrong base.",
            np.exp(1.31): "That is the number of equal choices. How many bits is it?",
            1.31 / np.log(10): "ln 2, not ln 10.",
        },
    )
    return "Keras reports nats. Whoever compares them with a table in bits feels good too early."


@exercise(
    "05.2",
    "At exp(loss) or 2 ** bits equal choices, where should an untrained model stand?",
    "log2 of 101.",
)
def first_loss(answer):
    """Expect the bits that an untrained model of 101 characters should pay."""
    near(
        answer,
        np.log2(101),
        within=0.02,
        usual={
            np.log(101): "That is in nats.",
            101: "That is the number of choices. In bits?",
            np.log2(91): "That is for 91 characters. This text has 101.",
            np.log10(101): "The logarithm to base 2 gives bits.",
        },
    )
    return "Ten more letters cost 0.15 bits, before anything is known."


@exercise(
    "05.3",
    "Two straight lines that meet at step `warmup`: one rises from 0, one falls to 0.",
    "peak * min((k + 1) / warmup, (steps - k) / (steps - warmup)).",
)
def triangle(answer):
    """Expect a function `rate(k, steps, peak, warmup)` that rises and falls in straight lines."""
    rate = function(answer)
    found = array([rate(k, 1000, 0.02, 100) for k in range(1000)], (1000,))
    if np.allclose(found, found[0]):
        raise Wrong("The rate is the same at every step.")
    top = int(found.argmax())
    if abs(found.max() - 0.02) > 3e-4:
        raise Wrong(f"The highest rate should be the peak, 0.02, not {found.max():.4g}.")
    if abs(top - 100) > 2:
        raise Wrong(f"The highest rate should come at the end of the warm-up, not at step {top}.")
    if found[0] > 1e-3:
        raise Wrong("It should begin near 0: Adam's averages still settle.")
    if found[-1] > 1e-3:
        raise Wrong(f"At the end {found[-1]:.3g} is left: the model never comes to rest.")
    if not np.allclose(found[500], 0.02 * 500 / 900, atol=3e-4):
        raise Wrong(f"Half way the rate should be {0.02 * 500 / 900:.4f} on a straight line, "
                    f"not {found[500]:.4f}.")  # fmt: skip
    return "Next to the cosine it hardly differs: what counts is that it rises first and ends at 0."


@exercise(
    "05.4",
    "Which of them looks like success?",
    "Off by one: the model is asked for the character it has just read.",
)
def too_good(answer):
    """Expect the letter of the bug behind a loss that falls to zero at once."""
    letter = str(answer).strip().strip("().\"'").lower()[:1]
    reasons = {
        "a": "With a rate too high the curve is jagged and stuck *high*.",
        "b": "Without clipping the curve jumps up, or ends as nan.",
        "d": "A state thrown away costs a little at the start of each batch; nothing falls to 0.",
    }
    if letter in reasons:
        raise Wrong(reasons[letter])
    if letter != "c":
        raise Wrong("The answer is one of the letters a, b, c and d.")
    return "A curve that is too good is a bug until proven otherwise."


@exercise(
    "05.5",
    "The two sums are kept apart: one adds up the squares of the gradient's numbers.",
    "m = beta_1 m + (1 - beta_1) g; v = beta_2 v + (1 - beta_2) g²; both are divided by "
    "1 - beta to the power of the step's number, since they began at 0.",
    "weight - rate * m_hat / (sqrt(v_hat) + 1e-7)",
)
def adam(answer):
    """Expect a function `adam(weight, gradients, rate, beta_1, beta_2)` that takes all steps."""
    run, rng = function(answer), np.random.default_rng(8)
    start, gradients = rng.normal(size=3), rng.normal(size=(5, 3)) + 0.5

    def steps(correct=True, root=True, sign=-1.0, squared=True):
        weight, m, v = start.copy(), 0.0, 0.0
        for k, g in enumerate(gradients, start=1):
            m, v = 0.8 * m + 0.2 * g, 0.99 * v + 0.01 * (g**2 if squared else g)
            m_hat, v_hat = (m / (1 - 0.8**k), v / (1 - 0.99**k)) if correct else (m, v)
            with np.errstate(invalid="ignore"):
                weight = weight + sign * 0.1 * m_hat / ((np.sqrt(v_hat) if root else v_hat) + 1e-7)
        return weight

    found = array(run(start.copy(), gradients.copy(), 0.1, 0.8, 0.99), (3,))
    for usual, message in (
        (start, "The weights have not moved."),
        (steps(sign=1.0), "It climbs: the step goes *against* the gradient."),
        (steps(correct=False), "The averages begin at 0 and are too small at first: divide them by "
         "1 - beta to the power of the step's number."),
        (steps(root=False), "v is an average of *squares*: take its root before you divide."),
        (start - 0.1 * gradients.sum(axis=0), "That is plain gradient descent: no averages yet."),
    ):  # fmt: skip
        if np.allclose(found, usual, atol=1e-5):
            raise Wrong(message)
    if not np.allclose(found, steps(), atol=1e-4):
        raise Wrong(
            f"After five steps the first weight should be {steps()[0]:.4f}, not {found[0]:.4f}."
        )
    return "That is `keras.optimizers.Adam`, up to where the tiny 1e-7 is added."
