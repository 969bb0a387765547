"""Figures: one style, one palette, and alternative text that every reader's tool finds."""

import base64
import html
import io

import matplotlib.pyplot as plt
from cycler import cycler
from IPython.display import display

# Okabe and Ito (2008): eight colours that colour-blind readers can tell apart; yellow, too pale for lines, is left out.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DASHES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]


def use_style():
    """Set the course's look: type legible from the back row, lines that differ in dash as well as in colour.

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
            "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=DASHES),
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
    if not alt.strip():
        raise ValueError("Say in a sentence what the figure shows: alt='...'.")
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    plt.close(figure)
    picture = base64.b64encode(file.getvalue()).decode()
    display(_Picture(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}">', alt))


class _Picture:
    """A picture as text/html: JupyterLab and nbconvert leave out the alternative text of a plain image."""

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
            character = vocab.decode(ids[row, column]).replace(" ", "\u2423").replace("\n", "\u21b5")
            color = PALETTE[4] if shades[column] % 2 == 0 else "#F7E3B5"
            ax.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=color, alpha=0.5, edgecolor="white"))
            ax.text(column + 0.5, row + 0.5, character, ha="center", va="center", family="DejaVu Sans Mono")
    ax.set(xlim=(0, columns), ylim=(rows, 0), yticks=[row + 0.5 for row in range(rows)], yticklabels=range(rows))
    ax.grid(False)
    return ax


def bar_chart(ax, values, unit, color=PALETTE[0], digits=2):
    """Draw labelled horizontal bars, the number written at the end of each.

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
    bars = ax.barh(list(values), list(values.values()), color=color)
    ax.bar_label(bars, fmt=f"%.{digits}f", padding=4)
    ax.set_xlabel(unit)
    ax.invert_yaxis()
    ax.grid(False, axis="y")
    return ax
