"""What the exercises of notebook 04 ask for, and the usual slips."""

import numpy as np

from helpers.exercises import Wrong, exercise, function, near


@exercise(
    "04.1",
    "A file of bytes: how many bits has a byte? And which of the two files grew by what?",
    "8 times the difference of the sizes, divided by the characters that were added.",
)
def bits_from_files(answer):
    """Expect bits per character from 215,000 and 237,000 bytes, and 80,000 characters added."""
    near(
        answer,
        8 * 22_000 / 80_000,
        within=0.006,
        usual={
            22_000 / 80_000: "That is in bytes. The scoreboard is in bits.",
            8 * 237_000 / 80_000: "Only the growth was written for the new text.",
            8
            * 237_000
            / 837_000: "That is the price of the whole text. What did the *new* part cost?",
            8 * 22_000 / 237_000: "Divide by characters of the text, not by bytes of the file.",
        },
    )
    return "And it learned while it read them: hence the star on the scoreboard."


@exercise(
    "04.2",
    "Each true character costs -log2 of the probability that it was given.",
    "First the logarithms, then their mean.",
)
def mean_price(answer):
    """Expect a function `bits_per_char(p)` of what the true characters were given."""
    price, p = function(answer), np.array([0.5, 0.25, 0.9, 0.01])
    found, costs = price(p.copy()), -np.log2(p)
    near(
        found,
        costs.mean(),
        within=1e-6,
        usual={
            -np.log(p).mean(): "That is in nats: the logarithm to base 2 gives bits.",
            -np.log2(p.mean()): "The mean was taken before the logarithm, and so the one bad guess "
            "vanished in it. Take the mean of the prices.",
            costs.sum(): "That is the price of the whole text. Per character is the mean.",
            -costs.mean(): "A price is positive: the logarithm of a probability is not.",
            costs.mean() / 4: "Divided by the number of characters twice.",
        },
    )
    return "One character in four was given a hundredth, and pays for more than half of the mean."


def _streams(ids, batch_size, seq_len, first):
    """Return inputs cut into streams: row k of a batch goes on in row k of the next."""
    long = (len(ids) - 1) // (batch_size * seq_len) * seq_len
    rows = ids[first : first + batch_size * long].reshape(batch_size, long)
    return rows.reshape(batch_size, -1, seq_len).swapaxes(0, 1)


@exercise(
    "04.3",
    "Cut the text into batch_size long pieces first, one for each row.",
    "Row k of batch 1 must go on where row k of batch 0 stopped.",
    "rows = ids[...].reshape(batch_size, -1); then cut each row into pieces of seq_len, and swap "
    "the axes so that the batches come first. The targets are the same, one character later.",
)
def cut_streams(answer):
    """Expect a function `streams(ids, batch_size, seq_len)` that returns inputs and targets."""
    cut, ids = function(answer), np.arange(1, 32)
    found = cut(ids.copy(), 3, 2)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Wrong("Return two arrays: inputs and targets.")
    inputs, targets = (np.asarray(each) for each in found)
    right = _streams(ids, 3, 2, first=0)
    if inputs.shape != right.shape or targets.shape != right.shape:
        raise Wrong(f"Of 31 characters, 3 streams and 2 steps make the shape {right.shape} "
                    f"(batches, streams, steps), not {inputs.shape}, {targets.shape}.")  # fmt: skip
    if np.array_equal(inputs, ids[:30].reshape(5, 3, 2)):
        raise Wrong("Row 0 of the second batch does not go on where row 0 of the first stopped: "
                    "the state carried there would belong to other words.")  # fmt: skip
    if not np.array_equal(inputs, right):
        raise Wrong(f"The first batch should be {right[0].tolist()}, not {inputs[0].tolist()}.")
    if np.array_equal(targets, inputs):
        raise Wrong("The targets are the inputs: the model would be asked for what it just read.")
    if not np.array_equal(targets, right + 1):
        raise Wrong("The inputs are right. The target of each is the character after it.")
    return (
        "`make_streams` in helpers/text.py does this, and complains about texts that are too short."
    )


@exercise(
    "04.4",
    "Count every pair of neighbours in the training text: counts[a, b].",
    "Add one to each count, so that nothing is impossible; then every row is divided by its sum.",
    "The price of a pair (a, b) of the held-out text is -log2 of p[a, b]; take the mean.",
)
def bigram(answer):
    """Expect a function `bigram_bits(train, held_out, size)` with add-one smoothing."""
    score, rng = function(answer), np.random.default_rng(6)
    train, held_out, size = rng.integers(0, 4, 60), rng.integers(0, 5, 40), 6

    def bits(add=1, axis=1, learn=train):
        counts = np.full((size, size), float(add))
        np.add.at(counts, (learn[:-1], learn[1:]), 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = counts / counts.sum(axis=axis, keepdims=True)
            return -np.log2(p[held_out[:-1], held_out[1:]]).mean()

    found = score(train.copy(), held_out.copy(), size)
    if not np.isfinite(np.asarray(found, float)).all():
        raise Wrong("A pair that was never seen has probability 0 and an infinite price: that is "
                    "what adding one to each count prevents.")  # fmt: skip
    near(
        found,
        bits(),
        within=1e-6,
        usual={
            bits(
                axis=0
            ): "The columns sum to 1. Given the first character, the *second* is uncertain: "
            "the rows must.",
            bits(learn=held_out): "The pairs were counted in the text that judges.",
            bits() * np.log(2): "That is in nats.",
            bits(add=1 / 6): "One in all was added to each row, not one to each count.",
        },
    )
    return (
        "On Dracula it comes to 3.5 bits; with back-off and a longer memory an n-gram needs 2.15."
    )


@exercise(
    "04.5",
    "Read each sentence and ask: could the score be too good because of it?",
    "The held-out text must be unknown to everything that was fitted or chosen.",
)
def leak(answer):
    """Expect the letter of the procedure that leaves the score honest."""
    letter = str(answer).strip().strip("().\"'").lower()[:1]
    reasons = {
        "a": "Windows that overlap share 99 of 100 characters: nearly all of the held-out ones "
        "were read in training.",
        "c": "The number of steps was chosen by the text that judges it: a little of it leaked.",
        "d": "To go on learning while one is judged is another game. The scoreboard marks it.",
    }
    if letter in reasons:
        raise Wrong(reasons[letter])
    if letter != "b":
        raise Wrong("The answer is one of the letters a, b, c and d.")
    return "The vocabulary is a list of letters; knowing that an é exists tells next to nothing."
