"""Interactive figures, with sliders and text boxes.

Without a kernel the figure that they start from stays on the page.
"""

import html

import ipywidgets
from IPython.display import HTML, display

from helpers.plots import picture

# ipywidgets leaves a slider without a name: a screen reader says "0.95" and not of what. So each
# gets the name that stands beside it, as soon as it is drawn.
NAME_THE_SLIDERS = """
if (typeof element !== "undefined") requestAnimationFrame(() => {
  const area = element.closest(".jp-OutputArea");
  const name = () => area.querySelectorAll(".widget-slider").forEach(row => row
    .querySelector("[role=slider]")?.setAttribute("aria-label", row.firstChild.textContent));
  if (area) new MutationObserver(name).observe(area, {childList: true, subtree: true});
});
"""


def explore(draw, **dials):
    """Show a figure, and dials that redraw it.

    Parameters
    ----------
    draw : callable
        Takes a value for each dial by name; returns a figure and its alternative text. If it raises
        ValueError after a dial was moved, the message is shown in place of the figure.
    dials : tuple of four floats, or str
        By name: lowest value, highest value, step and start of a slider; or the first content of a
        text box, whose figure is redrawn at every key.

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
    ...VBox(...)
    """
    if not dials:
        raise ValueError("At least one dial is needed: explore(draw, rate=(0, 1, 0.1, 0.5)).")
    boxes = {name: _text_box(name, dial) if isinstance(dial, str) else _slider(name, *dial)
             for name, dial in dials.items()}  # fmt: skip

    def current():
        return picture(*draw(**{name: box.value for name, box in boxes.items()}))

    def redraw(change):
        try:
            shown.update(current())
        except ValueError as problem:  # for example an empty prompt, while the reader types
            shown.update(HTML(f'<p role="alert">{html.escape(str(problem))}</p>'))

    shown = display(current(), display_id=True)
    for box in boxes.values():
        box.observe(redraw, names="value")
    if not all(isinstance(dial, str) for dial in dials.values()):
        display({"application/javascript": NAME_THE_SLIDERS, "text/plain": ""}, raw=True)
    display(ipywidgets.VBox(list(boxes.values())))


def _text_box(name, content):
    return ipywidgets.Text(content, continuous_update=True, **_look(name))


def _slider(name, low, high, step, start):
    if not low <= start <= high:
        raise ValueError(f"The dial {name!r} starts at {start}, not between {low} and {high}.")
    whole = all(isinstance(value, int) for value in (low, high, step, start))
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(start, min=low, max=high, step=step, continuous_update=False, **_look(name))


def _look(name):
    style, layout = {"description_width": "12em"}, {"width": "32em"}
    return {"description": name.replace("_", " "), "style": style, "layout": layout}
