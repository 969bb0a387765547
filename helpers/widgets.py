"""What moves: figures with sliders and text boxes. Without a kernel, the picture they start from stays on the page."""

import html

import ipywidgets
from IPython.display import HTML, display

from helpers.plots import picture


def explore(draw, **dials):
    """Show a figure, and dials that draw it anew.

    Parameters
    ----------
    draw : callable
        Takes a value for each dial by name; returns a figure and its alternative text. A ValueError, once a dial was
        moved, is shown in its place.
    dials : tuple of four floats, or str
        By name: lowest value, highest, step and start of a slider; or what stands in a text box at first, where the figure
        follows as one types.

    Raises
    ------
    ValueError
        If there is no dial, or one does not start between its ends.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> def draw(width):
    ...     figure, ax = plt.subplots(figsize=(width, 2))
    ...     return figure, f"An empty figure, {width} inches wide."
    >>> explore(draw, width=(1, 5, 1, 3))  # doctest: +ELLIPSIS
    An empty figure, 3 inches wide.
    VBox(...)
    """
    if not dials:
        raise ValueError(
            "A figure to explore needs a dial at least: explore(draw, rate=(0, 1, 0.1, 0.5))."
        )
    numbers = {name: dial for name, dial in dials.items() if not isinstance(dial, str)}
    for name, (low, high, _, start) in numbers.items():
        if not low <= start <= high:
            raise ValueError(
                f"The dial {name!r} starts at {start}, which is not between {low} and {high}."
            )
    boxes = {}
    for name, dial in dials.items():
        about = {
            "description": name.replace("_", " "),
            "style": {"description_width": "12em"},
            "layout": {"width": "32em"},
        }
        if name not in numbers:
            boxes[name] = ipywidgets.Text(dial, continuous_update=True, **about)
            continue
        low, high, step, start = dial
        kind = (
            ipywidgets.IntSlider
            if all(isinstance(value, int) for value in dial)
            else ipywidgets.FloatSlider
        )
        boxes[name] = kind(start, min=low, max=high, step=step, continuous_update=False, **about)

    def current():
        return picture(*draw(**{name: box.value for name, box in boxes.items()}))

    def redraw(change):
        try:
            shown.update(current())
        except ValueError as problem:  # while one types, a box is empty or holds a character that the model does not know
            shown.update(HTML(f'<p role="alert">{html.escape(str(problem))}</p>'))

    shown = display(current(), display_id=True)
    for box in boxes.values():
        box.observe(redraw, names="value")
    display(ipywidgets.VBox(list(boxes.values())))
