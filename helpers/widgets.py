"""What moves: figures with sliders. Without a kernel, the picture they start from stays on the page."""

import ipywidgets
from IPython.display import display

from helpers.plots import picture


def explore(draw, **dials):
    """Show a figure, and sliders that draw it anew.

    Parameters
    ----------
    draw : callable
        Takes a value for each dial by name; returns a figure and its alternative text.
    dials : tuple of four floats
        Lowest value, highest, step and start of each slider, by name.

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
        raise ValueError("A figure to explore needs a dial at least: explore(draw, rate=(0, 1, 0.1, 0.5)).")
    for name, (low, high, _, start) in dials.items():
        if not low <= start <= high:
            raise ValueError(f"The dial {name!r} starts at {start}, which is not between {low} and {high}.")
    sliders = {}
    for name, (low, high, step, start) in dials.items():
        kind = ipywidgets.IntSlider if all(isinstance(value, int) for value in (low, high, step, start)) else ipywidgets.FloatSlider
        label = name.replace("_", " ")
        sliders[name] = kind(
            start, min=low, max=high, step=step, description=label, continuous_update=False,
            style={"description_width": "12em"}, layout={"width": "32em"},
        )  # fmt: skip

    def current():
        return picture(*draw(**{name: slider.value for name, slider in sliders.items()}))

    shown = display(current(), display_id=True)
    for slider in sliders.values():
        slider.observe(lambda change: shown.update(current()), names="value")
    display(ipywidgets.VBox(list(sliders.values())))
