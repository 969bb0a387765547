"""What the exercises of notebook 06 ask for, and the usual slips."""

import numpy as np

from helpers.cells import softmax
from helpers.exercises import Wrong, array, exercise, function, near


@exercise(
    "06.1",
    "Dividing the logits by T raises each probability to the power 1/T, before they are made to "
    "sum to 1 again.",
    "0.8² and 0.2² are 0.64 and 0.04.",
)
def colder(answer):
    """Expect what a probability of 0.8, against 0.2, becomes at temperature one half."""
    near(
        answer,
        0.64 / 0.68,
        within=0.004,
        usual={
            2 / 3: "That is at temperature 2: there the favourite loses.",
            0.64: "0.64 and 0.04 do not sum to 1 yet.",
            1.6: "A probability is at most 1: divide the *logits* by T, not the probabilities.",
            1.0: "Only at temperature 0 is it certain.",
        },
    )
    return "The favourite gains, and at T towards 0 it takes all."


@exercise(
    "06.2",
    "The bar is not the same everywhere: it is a share of the likeliest one's probability.",
    "Keep p where p >= share * p.max(), set the others to 0, and divide by what is left.",
)
def min_p(answer):
    """Expect a function `min_p(p, share)` that returns probabilities in the order of p."""
    cut, p = function(answer), np.array([0.1, 0.4, 0.05, 0.3, 0.15])

    def kept(which, renormalise=True):
        left = np.where(np.isin(np.arange(5), which), p, 0.0)
        return left / left.sum() if renormalise else left

    found = array(cut(p.copy(), 0.3), (5,))
    for usual, message in (
        (kept([1, 3, 4], renormalise=False), "They no longer sum to 1: divide by what is left."),
        (kept([1, 3]), "0.3 is not the bar itself, but its share of the likeliest, 0.4: 0.12."),
        (kept([0, 2]), "Those below the bar were kept, the others dropped."),
        (kept([1]), "This keeps a sum of 0.3, as the nucleus does. Here each is asked by itself."),
        (p, "Nothing was dropped."),
    ):
        if np.allclose(found, usual):
            raise Wrong(message)
    if not np.allclose(found, kept([1, 3, 4])):
        raise Wrong(f"Of {p.tolist()} those of at least 0.12 should stay, and sum to 1.")
    if not np.allclose(array(cut(p.copy(), 1.0), (5,)), kept([1])):
        raise Wrong("With a share of 1 the likeliest alone should stay.")
    return "Like the nucleus it breathes: one character where the model is sure, many where not."


@exercise(
    "06.3",
    "How many bits less is the one text, over all 200 characters?",
    "A bit is a factor of 2, and log10(2) = 0.301 decades.",
)
def odds_of_dullness(answer):
    """Expect the decades between texts of 200 characters at 0.8 and at 1.9 bits a character."""
    near(
        answer,
        220 * np.log10(2),
        within=0.5,
        usual={
            220: "That is in bits. How many factors of ten?",
            1.1 * np.log10(2): "That is for one character. There are 200.",
            220 * np.log(2): "That is in nats: factors of e.",
            -220 * np.log10(2): "The size is right; the dull text is the more probable one.",
        },
    )
    return (
        "And yet nobody draws it: there is one such text, and there are so many of the other kind "
        "that nearly all that is drawn comes from them."
    )


@exercise(
    "06.4",
    "Two sets of probabilities are made of the same logits: one draws, at T, the other is asked, "
    "at 1.",
    "The mean over what is drawn: sum of p_T times -log2 of p_1.",
)
def surprise_at(answer):
    """Expect a function `surprise_at(logits, T)`: the mean surprise at what is drawn at T."""
    mean, logits = function(answer), np.array([3.0, 1.5, 0.0, -1.0, 2.0])
    at_1, at_t = softmax(logits), softmax(logits / 0.5)
    near(
        mean(logits.copy(), 0.5),
        -(at_t * np.log2(at_1)).sum(),
        within=1e-6,
        usual={
            -(
                at_t * np.log2(at_t)
            ).sum(): "That is the entropy of what draws. The model is asked at temperature 1.",
            -(at_1 * np.log2(at_1)).sum(): "That is the doubt, with T left out: who draws?",
            -(at_1 * np.log2(at_t)).sum(): "The other way round: p at T draws, p at 1 is asked.",
            -(at_t * np.log(at_1)).sum(): "That is in nats.",
            -np.log2(at_1).mean(): "Not all are drawn equally often: weigh each by its p at T.",
        },
    )
    return "At T = 1 it is the entropy: there surprise and doubt meet, as in the figure."


@exercise(
    "06.5",
    "The penalty is taken off before the softmax, from the logits of what was written lately.",
    "Look at which index each written character has; np.unique(recent) counts each once.",
)
def penalised(answer):
    """Expect a function `penalise(logits, recent, penalty)` that lowers recent logits."""
    lower, logits = function(answer), np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    recent = np.array([1, 3, 3])
    given = logits.copy()
    found = array(lower(given, recent.copy(), 0.7), (5,))
    if not np.array_equal(given, logits):
        raise Wrong("The logits that came in were changed: take a copy first.")
    once, twice = logits.copy(), logits.copy()
    once[[1, 3]] -= 0.7
    np.subtract.at(twice, recent, 0.7)
    divided = np.where(np.isin(np.arange(5), recent), logits / 0.7, logits)
    for usual, message in (
        (logits, "Nothing has changed."),
        (twice, "3 was written twice and paid twice. Here each recent character pays once."),
        (2 * logits - once, "It is rewarded: the penalty is to be taken off."),
        (divided, "Dividing makes a negative logit *larger*. Take the penalty off."),
        (
            logits - 0.7,
            "All of them pay, and softmax does not notice: only the recent ones should.",
        ),
    ):
        if np.allclose(found, usual):
            raise Wrong(message)
    if not np.allclose(found, once):
        raise Wrong(f"It should give {once.tolist()}, not {found.tolist()}.")
    return "Mind what it does to letters: an e is always recent."
