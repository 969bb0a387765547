"""What the exercises of notebook 08 ask for, and the usual slips."""

import numpy as np

from helpers.exercises import Wrong, array, exercise, function, near, number
from helpers.units import auc


@exercise(
    "08.1",
    "After n characters 0.98 to the power of n is left. Which n makes it a half?",
    "Take logarithms of both sides: n = log(0.5) / log(0.98).",
)
def half_of_it(answer):
    """Expect the characters after which 0.98 at each of them has left a half."""
    near(
        answer,
        np.log(0.5) / np.log(0.98),
        within=0.8,
        usual={
            50.0: "That is 1 / (1 - f), where about a third is left, not a half.",
            25.0: "This would be right if two hundredths *of the first load* went at each step.",
            0.98**0.5: "That is a share, not a number of characters.",
        },
    )
    return "So a unit with a mean gate of 0.98 reaches back about half a line."


@exercise(
    "08.2",
    "In how many of a hundred pairs is the unit higher on the character inside? And on the other?",
    "Turned round, every pair that was lost is won.",
)
def the_other_way_round(answer):
    """Expect the AUC of a unit of AUC 0.07 after its sign was turned round."""
    near(
        answer,
        0.93,
        within=0.002,
        usual={
            0.07: "The same? Turned round, the highest character becomes the lowest.",
            -0.07: "An AUC is a share of pairs, so it lies between 0 and 1.",
            -0.93: "An AUC is a share of pairs, so it is never negative.",
            0.43: "That is its distance from chance. What is the AUC itself?",
        },
    )
    return "It knows nearly as much as 678. Nothing is known at 0.5, not at 0."


def _pairs(values, labels, tie=0.5):
    true, false = values[labels][:, None], values[~labels]
    return ((true > false) + tie * (true == false)).mean()


@exercise(
    "08.3",
    "values[labels] are the true ones, values[~labels] the false ones. Compare each with each.",
    "values[labels][:, None] > values[~labels] is a table with a row for each true character.",
)
def count_the_pairs(answer):
    """Expect a function `pairs(values, labels)`: the AUC of one unit, ties counted half."""
    found_by = function(answer)
    values = np.array([0.3, 0.1, 0.3, 0.8, 0.5, 0.2, 0.1])
    labels = np.array([True, False, False, True, False, True, False])
    found, right = number(found_by(values, labels)), auc(values[:, None], labels)[0]
    slips = {
        1 - right: "That is the share in which the *false* one is higher.",
        _pairs(values, labels, tie=0.0): "Ties are left out: each counts a half.",
        _pairs(values, labels, tie=1.0): "Ties count as won: each counts a half.",
        right * labels.sum() * (~labels).sum(): "That is a number of pairs; their share is asked.",
        np.corrcoef(values, labels)[0, 1]: "That is a correlation. Compare pairs.",
        values[labels].mean() - values[~labels].mean(): "A difference of means depends on the "
        "scale of the values; the AUC counts pairs.",
    }
    for slip, message in slips.items():
        if abs(found - slip) < 1e-9 and abs(found - right) > 1e-9:
            raise Wrong(message)
    near(found, right, within=1e-9)
    return "`helpers.units.auc` gets the same from ranks, without the table of all pairs."


@exercise(
    "08.4",
    "How likely is it that all 768 tests are silent?",
    "0.99 to the power of 768. The question asks for the opposite.",
)
def found_by_chance(answer):
    """Expect the probability of at least one false find among 768 tests at 1 %."""
    near(
        answer,
        1 - 0.99**768,
        within=2e-4,
        usual={
            7.68: "That is how many finds to expect. A probability is at most 1.",
            0.01: "That is for one unit. There are 768 of them.",
            0.99**768: "That is the probability of no find at all.",
            1.0: "Nearly, but a small chance remains that all are silent. How small?",
        },
    )
    return "Something is found almost surely, and means nothing. Hence the controls."


@exercise(
    "08.5",
    "The mean over the axes 0 and 1 leaves one number for each unit.",
    "changed = states.copy(), then changed[..., units] = states[..., units].mean(axis=(0, 1)).",
)
def hold_at_the_mean(answer):
    """Expect a function `without(states, units)` that returns states with units at their means."""
    held = function(answer)
    states = np.random.default_rng(0).normal(size=(3, 4, 5))
    units, given = [1, 3], states.copy()
    found = array(held(given, units), states.shape)
    if not np.array_equal(given, states):
        raise Wrong("The array that was handed in has changed: work on a copy.")
    part, others = states[..., units], [0, 2, 4]
    if not np.allclose(found[..., others], states[..., others]):
        raise Wrong("Other units have changed, too.")
    slips = (
        (part, "Nothing has changed."),
        (0.0, "Zero is a value like any other. Hold them at their means."),
        (part.mean(axis=1, keepdims=True), "A mean for each text: it still tells them apart."),
        (part.mean(axis=0), "A mean for each time: it still tells where in the text we are."),
        (part.mean(), "One mean for all units: each should have its own."),
        (part.mean(axis=2, keepdims=True), "That is the mean over the units, at each place."),
    )
    for slip, message in slips:
        if np.allclose(found[..., units], slip):
            raise Wrong(message)
    if not np.allclose(found[..., units], part.mean(axis=(0, 1))):
        raise Wrong("The units that were named are not at their means over texts and time.")
    return "`helpers.units.hold` does this after every step, while the model reads on."
