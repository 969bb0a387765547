"""Figures: one style, one palette, and alternative text that screen readers find."""

import base64
import html
import io

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from PIL import Image

# Okabe and Ito (2008): colours that colour-blind readers can tell apart; without yellow, which is
# too pale for lines.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
CENTRED = {"ha": "center", "va": "center"}
BOX = {"facecolor": "white", "edgecolor": "black"}
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]


def use_style():
    """Set the style of all figures: large type, lines that differ in dash as well as in colour.

    Examples
    --------
    >>> use_style()
    >>> plt.rcParams["font.size"]
    14.0
    """
    plt.rcParams.update(
        {
            "figure.figsize": (9, 4.5),
            "figure.dpi": 90,
            "figure.constrained_layout.use": True,
            "font.size": 14,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=PALETTE, linestyle=DASHES),
            "grid.alpha": 0.3,
            "lines.linewidth": 2.5,
            "legend.frameon": False,
        }
    )


def show(figure, alt):
    """Show a figure with alternative text, and close it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    alt : str
        What the figure shows, for a reader who cannot see it.

    Raises
    ------
    ValueError
        If `alt` is empty.

    Examples
    --------
    >>> figure, ax = plt.subplots()
    >>> show(figure, alt="An empty pair of axes.")
    An empty pair of axes.
    """
    display(picture(figure, alt))


def picture(figure, alt):
    """Return what `show` displays, and close the figure."""
    plt.close(figure)  # it can still be saved
    if not alt.strip():
        raise ValueError("Say in a sentence what the figure shows: alt='...'.")
    figure.savefig(file := io.BytesIO(), format="png")
    few_colors = Image.open(file).convert("RGB").quantize(128)  # looks the same, and weighs a third
    few_colors.save(file := io.BytesIO(), format="png", optimize=True)
    png = base64.b64encode(file.getvalue()).decode()
    return _Picture(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">', alt)


class _Picture:
    """A picture as HTML: JupyterLab and nbconvert ignore the alternative text of a plain image."""

    def __init__(self, image, alt):
        self.image, self.alt = image, alt

    def _repr_html_(self):
        return self.image

    def __repr__(self):
        return self.alt


def character_grid(ax, ids, vocab, batch=None):
    """Draw a few streams as rows of characters.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    ids : ndarray of int, shape (streams, time)
    vocab : Vocabulary
    batch : sequence of int, shape (time,), optional
        The number of the batch that each column belongs to: columns of one batch share a shade.

    Returns
    -------
    matplotlib.axes.Axes
    """
    rows, columns = ids.shape
    shades = [0] * columns if batch is None else batch
    for row in range(rows):
        for column in range(columns):
            character = vocab.decode(ids[row, column])
            character = {" ": "\u2423", "\n": "\u21b5"}.get(character, character)
            color = PALETTE[4] if shades[column] % 2 == 0 else "#F7E3B5"
            look = {"facecolor": color, "alpha": 0.5, "edgecolor": "white"}
            ax.add_patch(plt.Rectangle((column, row), 1, 1, **look))
            ax.text(column + 0.5, row + 0.5, character, **CENTRED, family="DejaVu Sans Mono")
    ax.set(xlim=(0, columns), ylim=(rows, 0))
    ax.set_yticks([row + 0.5 for row in range(rows)], range(rows))
    ax.grid(False)
    return ax


def shaded_text(ax, text, values, limits=(0, 8), columns=73):
    """Print a text in which each character stands on a shade: the higher its value, the darker.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    text : str
        Its lines stay lines, longer ones are cut after `columns` characters.
    values : sequence of float, shape (len(text),)
        Not a number: no shade.
    limits : tuple of two floats
        The values that are drawn white and darkest.
    columns : int

    Returns
    -------
    matplotlib.image.AxesImage
        For `figure.colorbar`, the legend.

    Raises
    ------
    ValueError
        If the values are not as many as the characters.

    Examples
    --------
    >>> figure, ax = plt.subplots()
    >>> shaded_text(ax, "to be", [5.0, 2.0, 0.1, 4.0, 0.2]).get_array().shape
    (1, 73)
    """
    if len(values) != len(text):
        raise ValueError(f"There are {len(values)} values for {len(text)} characters.")
    places, row, column = [], 0, 0
    for character in text:
        if column == columns:
            row, column = row + 1, 0
        places.append((row, column))
        row, column = (row + 1, 0) if character == "\n" else (row, column + 1)
    table = np.full((places[-1][0] + 1, columns), np.nan)
    for character, place, value in zip(text, places, values, strict=True):
        table[place] = value
        dark = value > limits[0] + 0.7 * (limits[1] - limits[0])
        font = {"color": "white" if dark else "black", "family": "DejaVu Sans Mono"}
        ax.text(place[1], place[0], {"\n": "\u21b5"}.get(character, character), **CENTRED, **font)
    ax.axis("off")
    ends = {"vmin": limits[0], "vmax": limits[1]}
    return ax.imshow(table, cmap="Purples", **ends, aspect="auto", interpolation="nearest")


def bar_chart(ax, values, unit):
    """Draw horizontal bars, with the value at the end of each.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : dict of str to float
        From top to bottom.
    unit : str
        What the axis measures.

    Returns
    -------
    matplotlib.axes.Axes

    Examples
    --------
    >>> figure, ax = plt.subplots()
    >>> bar_chart(ax, {"unigram": 4.44, "PPMd": 1.92}, unit="bits per character").get_xlabel()
    'bits per character'
    """
    bars = ax.barh(list(values), list(values.values()), color=PALETTE[0])
    ax.bar_label(bars, fmt="%.2f", padding=4)
    ax.set_xlabel(unit)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    return ax


def unrolled_chain(ax, words, answer, arriving=None):
    """Draw a recurrent network unrolled in time, one box for each word it reads.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    words : sequence of str
    answer : str
        What it should say after the last word.
    arriving : sequence of float, optional
        For each step, the share of the gradient that arrives there, drawn as an arrow back to it,
        which is thinner by the same amount for each factor of ten.

    Returns
    -------
    matplotlib.axes.Axes
    """
    last = len(words) - 1
    thin = {"arrowstyle": "-|>", "mutation_scale": 14, "color": "black"}
    for t, word in enumerate(words):
        ax.text(t, 0, f"$h_{{{t + 1}}}$", **CENTRED, bbox={**BOX, "boxstyle": "round,pad=0.4"})
        ax.text(t, -1, word, ha="center", va="top", fontsize=12)
        ax.annotate("", (t, -0.3), (t, -1), arrowprops=thin)
        if t < last:
            ax.annotate("", (t + 0.75, 0), (t + 0.25, 0), arrowprops=thin)
        if arriving is not None:
            if t < last:
                width = max(8 + 2.5 * np.log10(max(arriving[t], 1e-9)), 1)
                back = {**thin, "linewidth": width, "color": PALETTE[1], "shrinkA": 0, "shrinkB": 0}
                ax.annotate("", (t + 0.1, 0.6), (t + 0.9, 0.6), arrowprops=back)
            font = {"ha": "center", "va": "bottom", "color": PALETTE[1], "fontsize": 12}
            ax.text(t, 0.85, f"{arriving[t]:.1g}", **font)
    ax.annotate("", (last + 0.8, 0), (last + 0.25, 0), arrowprops=thin)
    ax.text(last + 0.85, 0, answer, ha="left", va="center", color=PALETTE[0], weight="bold")
    ax.set(xlim=(-0.5, last + 2), ylim=(-1.6, 1.5 if arriving is not None else 0.5))
    ax.axis("off")
    return ax


def heat_map(ax, values, rows, columns, label, limits=(-1, 1)):
    """Draw a table of numbers as colours.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : ndarray, shape (rows, columns)
    rows, columns : sequence of str
        The labels of both.
    label : str
        What the colours measure.
    limits : tuple of two floats
        The values at the two ends of the colour scale: blue at -1, white at 0, red at 1; or white
        at 0 and dark at 1.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the labels are not as many as the rows and columns.
    """
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"{len(rows)} rows and {len(columns)} columns are labelled, "
            f"but the values have shape {values.shape}."
        )
    colors = "RdBu_r" if limits[0] < 0 else "Purples"
    drawn = ax.imshow(
        values, aspect="auto", cmap=colors, vmin=limits[0], vmax=limits[1], interpolation="nearest"
    )
    ax.set_xticks(
        range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor", fontsize=11
    )
    ax.set_yticks(range(len(rows)), rows, fontsize=11)
    ax.grid(False)
    ax.figure.colorbar(drawn, ax=ax, label=label)
    return ax


def lstm_cell(ax, trace, time, unit, reads=""):
    """Draw one unit of an LSTM cell at one step, with arrows as wide as the values they carry.

    The plan is that of Olah, "Understanding LSTM networks" (2015); the numbers are measured.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    trace : Trace
        From `LSTMCell.forward`.
    time, unit : int
        Which step and which hidden unit, of the first sequence of the batch.
    reads : str
        What it reads at this step, for the label of the input.

    Returns
    -------
    matplotlib.axes.Axes
    """
    i, f, g, o, c, h = (
        float(trace[name][0, time, unit])
        for name in ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    )
    before = float(trace.previous("cell")[0, time, unit])

    def flow(value, start, end, text, at):
        color = PALETTE[0] if value >= 0 else PALETTE[1]
        arrow = {"arrowstyle": "-|>", "mutation_scale": 18, "shrinkA": 0, "color": color}
        width = 0.6 + 6 * min(abs(value), 1)
        ax.annotate("", end, start, arrowprops={**arrow, "linewidth": width})
        ax.text(*at, f"{text}\n{value:+.2f}", **CENTRED, color=color, fontsize=13)

    thin = {"colors": "black", "linewidth": 1.5, "zorder": 0}
    ax.hlines(-0.3, -0.2, 7.4, **thin)
    ax.vlines((0.8, 1.8, 3.8, 5.8, 7.4), (-1.0, *[-0.3] * 4), (-0.3, *[0.5] * 4), **thin)
    ax.text(-0.3, 0.05, "all of $h_{t-1}$", ha="left", va="center", fontsize=13)
    ax.text(0.95, -0.85, f"$x_t$  {reads}", ha="left", va="center", fontsize=13)
    flow(before, (-0.2, 3), (1.55, 3), "$c_{t-1}$", (0.6, 3.65))
    flow(f * before, (2.05, 3), (4.55, 3), "kept: $f c_{t-1}$", (3.3, 3.65))
    flow(c, (5.05, 3), (9.6, 3), "$c_t$", (7.0, 3.65))
    flow(f, (1.8, 0.85), (1.8, 2.7), "forget $f$", (1.05, 1.7))
    flow(i, (3.8, 0.85), (4.6, 1.4), "input $i$", (3.5, 1.55))
    flow(g, (5.8, 0.85), (5.0, 1.4), "candidate $g$", (6.1, 1.55))
    flow(i * g, (4.8, 1.8), (4.8, 2.7), "new: $i g$", (5.55, 2.35))
    flow(float(np.tanh(c)), (8.2, 3), (8.2, 1.9), r"$\tanh c_t$", (8.95, 2.4))
    flow(o, (7.4, 0.85), (8.05, 1.4), "output $o$", (8.4, 0.6))
    flow(h, (8.4, 1.6), (9.6, 1.6), "$h_t$", (9.35, 1.05))
    for x, sign in ((1.8, r"\sigma"), (3.8, r"\sigma"), (5.8, r"\tanh"), (7.4, r"\sigma")):
        ax.text(x, 0.6, f"${sign}$", **CENTRED, fontsize=15, bbox={**BOX, "facecolor": "#F7E3B5"})
    circle = {**BOX, "boxstyle": "circle,pad=0.2"}
    signs = ((1.8, 3, r"\times"), (4.8, 3, "+"), (4.8, 1.55, r"\times"), (8.2, 1.6, r"\times"))
    for x, y, sign in signs:
        ax.text(x, y, f"${sign}$", **CENTRED, fontsize=15, bbox=circle)
    ax.set(xlim=(-0.4, 9.9), ylim=(-1.2, 4.1))
    ax.axis("off")
    return ax
