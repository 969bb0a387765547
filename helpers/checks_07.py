"""What the exercises of notebook 07 ask for, and the usual slips."""

import numpy as np

from helpers.exercises import Wrong, array, exercise, function, near, number


@exercise(
    "07.1",
    "Who has looked at the judging addresses before the score is taken?",
    "Choosing is a way of looking: the rate, the dropout, the moment to stop.",
)
def honest_judge(answer):
    """Expect the letter of the procedure whose score may be printed as it is."""
    letter = str(answer).strip().strip("().\"'").lower()[:1]
    reasons = {
        "a": "It stopped where the judging addresses were best: they chose the moment.",
        "b": "Of three dropouts the one was kept that the judging addresses liked best.",
        "c": "The second half of an address is easy for a model that has read its first half.",
    }
    if letter in reasons:
        raise Wrong(reasons[letter])
    if letter != "d":
        raise Wrong("The answer is one of the letters a, b, c and d.")
    return "Whatever chooses must be another text than whatever judges."


@exercise(
    "07.2",
    "Keep the best score so far, and how many evaluations ago it was.",
    "Stop at the first evaluation that comes `patience` evaluations after the best; return the "
    "index of the *best*, whose weights you would restore.",
)
def early_stop(answer):
    """Expect a function `best_before_stop(bits, patience)` that returns an index into bits."""
    stop = function(answer)
    bits = [3.0, 2.6, 2.4, 2.5, 2.45, 2.7, 2.2, 2.3]
    found = number(stop(list(bits), 3))
    if found == 6:
        raise Wrong("The run had stopped by then: three evaluations in a row were no better than "
                    "2.4.")  # fmt: skip
    if found == 5:
        raise Wrong("That is where it stops. Which weights do you keep?")
    if found == 3:
        raise Wrong("It lost patience at the first rise: it was to wait for three.")
    if found in (2.4, 2.2):
        raise Wrong("That is the score. Return its index.")
    if found != 2:
        raise Wrong("In [3.0, 2.6, 2.4, 2.5, 2.45, 2.7, 2.2, 2.3] with patience 3 it is another.")
    for given, patience, right in (([2.0, 1.9, 1.8], 2, 2), ([1.0, 2.0, 3.0], 5, 0), (bits, 4, 6)):
        if number(stop(list(given), patience)) != right:
            raise Wrong(f"Right on the first example, but not on {given} with patience {patience}.")
    return "`Recipe(keep_best=True)` is the same with endless patience."


@exercise(
    "07.3",
    "Half of the numbers are set to 0. What happens to the sum that the next layer sees?",
    "Those that stay are divided by the share that stays, so that the mean is kept.",
)
def dropout(answer):
    """Expect a function `drop(h, share, rng)` for training: the mean must be kept."""
    drop, h = function(answer), np.full(40_000, 3.0)
    found = array(drop(h.copy(), 0.25, np.random.default_rng(0)), h.shape)
    gone, left = (found == 0).mean(), found[found != 0]
    if gone == 0:
        raise Wrong("Nothing was dropped.")
    if np.array_equal(found, drop(h.copy(), 0.25, np.random.default_rng(1))):
        raise Wrong("Another seed drops the same numbers: draw them from `rng`.")
    if abs(gone - 0.75) < 0.02:
        raise Wrong("Three quarters are gone: `share` is what is dropped, not what stays.")
    if abs(gone - 0.25) > 0.02:
        raise Wrong(f"A quarter should be dropped, and {gone:.0%} is.")
    if np.allclose(left, 3.0):
        raise Wrong(
            "Those that stay are as they were, so the mean falls to three quarters. When all units "
            "work, after training, the next layer would see too much."
        )
    if np.allclose(left, 3.0 * 0.75):
        raise Wrong(
            "The right factor, upside down: those that stay have to make up for the others."
        )
    if not np.allclose(left, 4.0):
        raise Wrong(f"The mean should stay 3, and it is {found.mean():.2f}.")
    return "After training nothing is dropped, and nothing needs to be scaled."


@exercise(
    "07.4",
    "By how many bits is the passage as a whole less surprising to the one model?",
    "2.5 bits: odds of 2 to the power 2.5 to 1. Turn odds into a probability.",
)
def odds_of_author(answer):
    """Expect the probability of *Dracula*: ten characters, 1.75 against 2.0 bits."""
    odds = 2.0**2.5
    near(
        answer,
        odds / (1 + odds),
        within=0.006,
        usual={
            1 / (1 + odds): "That is the probability of the other one.",
            np.exp(2.5) / (1 + np.exp(2.5)): "Those are bits: a factor of 2 each, not of e.",
            2**0.25 / (1 + 2**0.25): "That is after a single character. There are ten.",
            odds: "Those are the odds. As a probability?",
            2.0 / 3.75: "Bits do not add up to odds: they are exponents.",
        },
    )
    return "And ten characters on, if it goes on like that, 97 in 100."


@exercise(
    "07.5",
    "After n characters the bits of all n count, not those of the last one.",
    "np.cumsum along the characters, compare, and take the mean over the passages.",
)
def attributed(answer):
    """Expect a function `right_after(own, other)`: the share attributed rightly, by characters."""
    share, rng = function(answer), np.random.default_rng(9)
    own, other = rng.exponential(1.6, (200, 12)), rng.exponential(2.0, (200, 12))
    found = array(share(own.copy(), other.copy()), (12,))
    sums = np.cumsum(own, axis=1), np.cumsum(other, axis=1)
    right = (sums[0] < sums[1]).mean(axis=0)
    for usual, message in (
        ((own < other).mean(axis=0), "Each character was asked by itself. After ten of them all "
         "ten should count."),
        (1 - right, "The *fewer* bits, the better: the true author's model is less surprised."),
        (100 * right, "As a share, from 0 to 1."),
        (sums[1].mean(axis=0) - sums[0].mean(axis=0), "Those are bits. In how many passages is the "
         "true author's model ahead?"),
    ):  # fmt: skip
        if np.allclose(found, usual):
            raise Wrong(message)
    if not np.allclose(found, right):
        raise Wrong(f"After one character it should be {right[0]:.3f}, not {found[0]:.3f}; after "
                    f"twelve {right[-1]:.3f}, not {found[-1]:.3f}.")  # fmt: skip
    return "The more is read, the surer: each character adds a little evidence."
