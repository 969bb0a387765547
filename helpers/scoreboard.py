"""The table of bits per character: every rival and every model on one held-out text.

`python -m helpers.scoreboard` prints it, with the models that come with the course.
"""

import argparse
import math

from helpers import MODELS
from helpers.baselines import baselines
from helpers.corpora import load_split

CONTEXT = 128  # characters before the held-out text that a model reads first, unscored


def table(rows):
    """Return {name: bits per character} as a Markdown table, the worst first.

    >>> print(table({"PPMd": 1.924, "uniform": 6.508}))
    | model   | bits per character |
    |:--------|-------------------:|
    | uniform |               6.51 |
    | PPMd    |               1.92 |
    """
    width = max(map(len, ["model", *rows]))
    lines = [f"| {'model':{width}} | bits per character |", f"|:{'-' * (width + 1)}|{'-' * 19}:|"]
    for name, bits in sorted(rows.items(), key=lambda row: -round(row[1], 2)):
        lines.append(f"| {name:{width}} | {bits:18.2f} |")
    return "\n".join(lines)


def model_bits(folder, train, held_out):
    """Return the bits per character of `held_out` under the model in `folder`.

    Raises
    ------
    ValueError
        If the model is damaged, does not know a character of the text, or overflows.
    """
    # Here, because they import TensorFlow, which the baselines do not need.
    from helpers.evaluation import bits_per_char
    from helpers.models import load_model

    model, vocab = load_model(folder)
    context = train[-CONTEXT:]
    unknown = sorted(set(context + held_out) - set(vocab.characters))
    if unknown:
        raise ValueError(f"its vocabulary lacks {''.join(unknown)!r}")
    bits = bits_per_char(model, vocab.encode(held_out), context=vocab.encode(context))
    if not math.isfinite(bits):
        raise ValueError(f"its bits per character come out as {bits}")
    return bits


def main(arguments=None):
    """Print the scoreboard of a corpus."""
    parser = argparse.ArgumentParser(prog="python -m helpers.scoreboard", description=main.__doc__)
    parser.add_argument(
        "--corpus", default="dracula", help="name of a corpus, or a text file (default: dracula)"
    )
    parser.add_argument("--fallback", help="the corpus to use if the first is not available")
    options = parser.parse_args(arguments)
    try:
        train, held_out = load_split(options.corpus, fallback=options.fallback)
    except (OSError, ValueError) as problem:
        parser.exit(1, f"{problem}\n")
    print(f"{len(held_out):,} held-out characters, {len(train):,} characters to learn from:\n")
    rows, remarks = baselines(train, held_out), []
    for folder in sorted(path.parent for path in MODELS.glob("*/model.npz")):
        try:
            rows[f"model {folder.name}"] = model_bits(folder, train, held_out)
        except (ValueError, OSError) as problem:  # the other models still get their rows
            remarks.append(f"No row for the model {folder.name}: {problem}")
    print("\n".join([table(rows), *remarks]))


if __name__ == "__main__":
    main()
