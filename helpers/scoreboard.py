"""The table of bits per character: every rival and every model on one held-out text.

`python -m helpers.scoreboard` prints it, with the models that come with the course.
"""

import argparse
import json
import math

from helpers import DATA, MODELS
from helpers.baselines import baselines
from helpers.corpora import load_split
from helpers.storage import read_model, sha256

CONTEXT = 128  # characters before the held-out text that a model reads first, unscored
LEARN_ON = ("gzip", "xz", "bz2", "PPMd", "zpaq")  # while they read what they are judged by


def table(rows, **columns):
    """Return {name: bits per character} as a Markdown table, the worst first.

    A star marks what goes on learning while it reads the text that it is judged by; the others
    stand still.

    Parameters
    ----------
    rows : dict of str to float
    **columns : dict of str to float
        Further columns: the heading, with underscores for blanks, and its rows.

    Examples
    --------
    >>> print(table({"PPMd": 1.924, "uniform": 6.508}))
    | model   | bits per character |
    |:--------|-------------------:|
    | uniform |               6.51 |
    | PPMd *  |               1.92 |
    >>> print(table({"PPMd": 1.924}, the_shelf_first={"PPMd": 1.86, "LSTM": 1.7}))
    | model  | bits per character | the shelf first |
    |:-------|-------------------:|----------------:|
    | PPMd * |               1.92 |            1.86 |
    | LSTM   |                    |            1.70 |
    """
    columns = {"bits per character": rows} | columns
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    shown = {name: name + " *" * name.startswith(LEARN_ON) for name in names}
    width = max(map(len, ["model", *shown.values()]))
    heads = [heading.replace("_", " ") for heading in columns]
    lines = [
        " | ".join([f"| {'model':{width}}", *heads]) + " |",
        "|".join([f"|:{'-' * (width + 1)}", *("-" * (len(head) + 1) + ":" for head in heads)])
        + "|",
    ]
    scores = {name: [column.get(name) for column in columns.values()] for name in names}
    for name in sorted(
        names, key=lambda name: -round(max(bits for bits in scores[name] if bits is not None), 2)
    ):
        cells = ["" if bits is None else f"{bits:.2f}" for bits in scores[name]]
        filled = [f"{cell:>{len(head)}}" for cell, head in zip(cells, heads, strict=True)]
        lines.append(" | ".join([f"| {shown[name]:{width}}", *filled]) + " |")
    return "\n".join(lines)


def measured_rivals(train, held_out):
    """Return what `tools/rivals.py` measured: rivals that take long, or are no Python package.

    Returns
    -------
    alone, after_reading : dict of str to float
        Bits per character of `held_out` after `train`, and after `train` with what the models that
        come with the course read before it. Empty if these two texts were not measured.

    Examples
    --------
    >>> alone, after_reading = measured_rivals(*load_split("speeches"))
    >>> alone["zpaq, method 5"] > after_reading["zpaq, method 5"]
    True
    """
    measured = json.loads((DATA / "rivals.json").read_text(encoding="utf-8"))["bits_per_char"]
    digest = sha256(train + held_out)
    found = next((each for each in measured.values() if each["text_sha256"] == digest), {})
    return found.get("alone", {}), found.get("after reading", {})


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


def has_read_before(folder):
    """Say whether a model was trained on another text before."""
    return bool(read_model(folder)[0].get("recipe", {}).get("start_from"))


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
    alone, after_reading = measured_rivals(train, held_out)
    rows, remarks = baselines(train, held_out) | alone, []
    for folder in sorted(path.parent for path in MODELS.glob("*/model.npz")):
        try:
            bits = model_bits(folder, train, held_out)
            column = after_reading if has_read_before(folder) else rows
            column[f"model {folder.name}"] = bits
        except (ValueError, OSError) as problem:  # the other models still get their rows
            remarks.append(f"No row for the model {folder.name}: {problem}")
    more = {"after_reading_more": after_reading} if after_reading else {}
    print("\n".join([table(rows, **more), *remarks]))


if __name__ == "__main__":
    main()
