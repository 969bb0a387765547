"""What the exercises of notebook 01 ask for, and the usual slips."""

import numpy as np

from helpers.exercises import Wrong, array, exercise, function, near


@exercise(
    "01.1",
    "Go through the five words one by one: what has the network just seen, and what can follow it?",
    "After `very` it sees `very`, whatever the thing was. How many colours are there?",
    "Three of the five are certain. The two others are one in eight.",
)
def one_word_back(answer):
    """Expect the share that a network of one word gets right on *the sky is very blue*."""
    near(
        answer,
        3.25 / 5,
        within=0.006,
        usual={
            4.125 / 5: "After `very` it would need to remember the thing. What does it see there?",
            0.6: "Guessing among eight is right now and then, too: one time in eight.",
            0.5625: "That is the text of four words. Here are five, and one more is certain.",
        },
    )
    return "The colour has moved one word further away, and a network of one word still guesses it."


@exercise(
    "01.2",
    "Write down the answers of all five networks, and take their mean.",
    "A network that has not solved the gap is right in one case of eight.",
)
def mean_of_seeds(answer):
    """Expect the mean accuracy when two of five networks solve a gap."""
    near(
        answer,
        (2 + 3 / 8) / 5,
        within=0.006,
        usual={
            0.4: "The three that failed still guess: what share of their guesses is right?",
            (3 + 2 / 8) / 5: "That is three that solve it and two that fail.",
            0.5: "Half way between right and wrong, but how many networks are on each side?",
        },
    )
    return (
        "No network of the five is right 48 times in a hundred. The mean of such a crowd describes "
        "nobody in it: say how many solve the gap."
    )


@exercise(
    "01.3",
    "Begin with h = np.zeros(len(U)), and change it once for every row of x.",
    "One line in the loop: h = np.tanh(...) of the word, the old note and the bias. Keep each h.",
)
def plain_network(answer):
    """Expect a function `read(x, W, U, b)` that returns the hidden state after each word."""
    read, rng = function(answer), np.random.default_rng(0)
    x, W, U, b = (rng.normal(size=size) for size in ((6, 4), (4, 3), (3, 3), (3,)))

    def states(carry=1.0, squash=np.tanh, turned=U):
        h, kept = np.zeros(3), []
        for word in x:
            h = squash(word @ W + carry * h @ turned + b)
            kept.append(h)
        return np.array(kept)

    found = read(x.copy(), W.copy(), U.copy(), b.copy())
    if np.shape(found) == (7, 3):
        raise Wrong("Seven notes for six words: leave out the empty one before the first word.")
    if np.shape(found) == (3,):
        raise Wrong("Only the last note came back. Keep all of them: one row for every word.")
    found = array(found, (6, 3))
    for usual, message in (
        (states(carry=0.0), "Each word is read with an empty note. Hand h on from word to word."),
        (states(squash=lambda a: a), "The notes are not squashed: where is the tanh?"),
        (
            states(turned=U.T),
            "U is the wrong way round: the formula has h U, a row times a matrix.",
        ),
    ):
        if np.allclose(found, usual):
            raise Wrong(message)
    if not np.allclose(found, states()):
        raise Wrong("The first note is " + ("right, a later one" if np.allclose(
            found[0], states()[0]) else "already") + " wrong.")  # fmt: skip
    return "That is `RNNCell` for a batch of one."


@exercise(
    "01.4",
    "Try u = 1 first and print h after 1, 10 and 100 steps. What does tanh do to it at each step?",
    "For h to stay where it is, tanh(u h) must equal h. Draw tanh(u h) for u = 0.5, 1 and 2: for "
    "which of them does the curve cross the diagonal away from zero?",
    "Any u above 1 will do it; the further above, the nearer to 1 the note settles.",
)
def latch(answer):
    """Expect a pair (w, u) that holds the sign of the first word for a hundred steps."""
    w, u = array(answer, (2,))

    def left(sign):
        h = 0.0
        for t in range(101):
            h = np.tanh(w * (sign if t == 0 else 0.0) + u * h)
        return h

    up, down = left(+1), left(-1)
    if w == 0:
        raise Wrong("With w = 0 the word never enters the note.")
    if u < 0:
        raise Wrong("With a negative u the note changes its sign at every step.")
    if abs(u - 1) < 1e-9:
        raise Wrong(f"Nearly: with u = 1 tanh takes a little each time, and {up:.2f} is left.")
    if u < 1:
        raise Wrong(f"With u below 1 the note shrinks at every step: {up:.1g} is left.")
    if up * down >= 0 or up * w * u <= 0 or min(abs(up), abs(down)) < 0.5:
        raise Wrong(f"After 100 steps the notes are {up:.2f} and {down:.2f}: not 0.5 apart from 0.")
    if up < 0:
        raise Wrong("The sign is turned round: +1 is kept as a negative note.")
    return (
        f"After 100 steps the notes are {up:.2f} and {down:.2f}. So a plain RNN can hold a bit for "
        "as long as you like; what it lacks is a gradient that would tell it to."
    )
