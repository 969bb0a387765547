"""Figures: what is drawn, what a reader who cannot see is told, and what the sliders do."""

import base64
from html.parser import HTMLParser

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from helpers import plots, widgets
from helpers.cells import LSTMCell
from helpers.text import Vocabulary
from tools import outputs

BLUE, ORANGE = plots.PALETTE[:2]


class Screen:
    """Stands in for the page: what `display` put there, and what replaced it."""

    def __init__(self):
        self.shown, self.updates = [], []

    def display(self, thing, display_id=False):
        self.shown.append(thing)
        return self if display_id else None

    def update(self, thing):
        self.updates.append(thing)


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    for module in (plots, widgets):
        monkeypatch.setattr(module, "display", screen.display)
    return screen


@pytest.fixture(autouse=True)
def clean():
    plt.close("all")


@pytest.fixture
def ax():
    return plt.subplots()[1]


def draw(**values):
    return plt.figure(figsize=(2, 1)), f"Drawn with {values}."


def image(shown):
    """Return the attributes of the one image that a shown picture is made of."""
    tags, parser = [], HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))
    parser.feed(shown._repr_html_())
    assert len(tags) == 1 and tags[0][0] == "img"
    return tags[0][1]


def arrows(ax, color):
    """Return the widths of the arrows of one colour, in the order drawn."""
    patches = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)]
    return [patch.get_linewidth() for patch in patches if same_color(patch.get_edgecolor(), color)]


def texts(ax):
    return {text.get_text(): text for text in ax.texts if text.get_text()}


# --- pictures ---


@pytest.mark.parametrize(
    "alt", ["A line.", "The \"gap\" > 3 & <b>'x'</b>", "naïve £5 ☾\na second line"], ids=ascii
)
def test_a_picture_is_shown_once_with_its_text_and_closed(alt, screen):
    plots.show(figure := plt.figure(), alt=alt)
    (shown,) = screen.shown
    kind, png = image(shown)["src"].split(",")
    assert (
        image(shown)["alt"] == alt == repr(shown)
        and kind == "data:image/png;base64"
        and base64.b64decode(png).startswith(b"\x89PNG")
    )
    assert (
        plt.get_fignums() == [] and plots.picture(figure, alt)._repr_html_() == shown._repr_html_()
    )  # no date, no version


@pytest.mark.parametrize("alt", ["", " \n"])
def test_a_picture_without_words_is_refused(alt, screen):
    with pytest.raises(ValueError, match="what the figure shows"):
        plots.show(plt.figure(), alt=alt)
    assert screen.shown == plt.get_fignums() == []


# --- charts ---


def test_bars_run_from_top_to_bottom_with_their_numbers(ax):
    plots.bar_chart(ax, {"first": 4.444, "second": 1.0}, unit="bits")
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "first",
        "second",
    ] and ax.get_xlabel() == "bits"
    assert (
        list(texts(ax)) == ["4.44", "1.00"]
        and [bar.get_width() for bar in ax.patches] == [4.444, 1.0]
        and ax.yaxis_inverted()
    )


def test_a_grid_shows_each_character_in_its_place_and_shade(ax):
    vocab = Vocabulary("\n ab")
    plots.character_grid(ax, vocab.encode("ab b\na").reshape(2, 3), vocab, batch=[0, 0, 1])
    places = [(x + 0.5, y + 0.5) for y in range(2) for x in range(3)]
    assert {text.get_position(): text.get_text() for text in ax.texts} == dict(
        zip(places, "ab␣b↵a", strict=True)
    )
    shades = [patch.get_facecolor() for patch in ax.patches]
    assert shades[0] == shades[1] == shades[3] != shades[2] == shades[5] and ax.yaxis_inverted()


def test_a_shaded_text_keeps_its_lines_and_cuts_long_ones(ax):
    shown = plots.shaded_text(ax, "to be\nor", [8, 1, 0, 2, 3, 4, 5, 6], columns=3)
    places = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2)]
    assert {each.get_position(): each.get_text() for each in ax.texts} == dict(
        zip(places, "to be\u21b5or", strict=True)
    )
    assert ax.texts[0].get_color() == "white" and ax.texts[1].get_color() == "black"
    assert shown.get_array().tolist() == [[8, 1, 0], [2, 3, 4], [5, 6, None]]
    assert shown.get_clim() == (0, 8)


def test_a_shaded_text_needs_a_value_for_each_character(ax):
    with pytest.raises(ValueError, match="2 values for 3 characters"):
        plots.shaded_text(ax, "abc", [1, 2])


@pytest.mark.parametrize("words", [["in"], ["the", "sky", "is"], list("abcdefghijkl")])
def test_a_chain_shows_words_states_and_answer_in_order(ax, words):
    plots.unrolled_chain(ax, words, answer="blue?")
    assert len(found := texts(ax)) == 2 * len(words) + 1 and "blue?" in found
    for t, word in enumerate(words):
        assert found[word].get_position() == (t, -1) and found[
            f"$h_{{{t + 1}}}$"
        ].get_position() == (t, 0)
    assert len(arrows(ax, "black")) == 2 * len(words) and arrows(ax, ORANGE) == []
    assert [
        int(text.xy[0]) for text in ax.texts if not text.get_text() and text.xy[1] == 0
    ] == list(range(len(words)))
    plots.picture(ax.figure, "The chain can be drawn.")


def test_arrows_lead_back_and_thin_by_the_same_amount_for_each_factor_of_ten(ax):
    plots.unrolled_chain(ax, list("abcde"), answer="?", arriving=[1e-6, 1e-2, 0.1, 1.0, 1.0])
    widths = arrows(ax, ORANGE)
    assert len(widths) == 4 and widths[3] - widths[2] == pytest.approx(widths[2] - widths[1])
    assert 0 < widths[0] < widths[1]
    back = [text for text in ax.texts if not text.get_text() and text.xy[1] == 0.6]
    assert len(back) == 4 and all(text.xy[0] < text.xyann[0] for text in back)
    shares = [text for text in ax.texts if same_color(text.get_color(), ORANGE)]
    assert [(share.get_position()[0], share.get_text()) for share in shares] == list(
        enumerate(["1e-06", "0.01", "0.1", "1", "1"])
    )


@pytest.mark.parametrize("limits", [(-1, 1), (-3, 3), (0, 1), (0, 5)])
def test_a_heat_map_is_labelled_and_keeps_to_its_limits(ax, limits):
    values = np.array([[0.5, -0.2, 9.0], [0.0, 1.0, -1.0]])
    assert (
        plots.heat_map(
            ax, values, ["r1", "r2"], ["in", "Spain", "fluent"], "hidden state", limits=limits
        )
        is ax
    )
    (drawn,) = ax.get_images()
    assert np.array_equal(drawn.get_array(), values) and drawn.get_clim() == limits
    for axis, labels in ((ax.xaxis, ["in", "Spain", "fluent"]), (ax.yaxis, ["r1", "r2"])):
        assert [label.get_text() for label in axis.get_ticklabels()] == labels and list(
            axis.get_ticklocs()
        ) == list(range(len(labels)))
    assert ax.yaxis_inverted() and drawn.colorbar.ax.get_ylabel() == "hidden state"
    low, white, high = (np.array(drawn.to_rgba(value)[:3]) for value in (limits[0], 0, limits[1]))
    assert (
        white.min() > 0.95
        and high.sum() < 1.5
        and (limits[0] == 0 or (low[2] > 2 * low[0] and high[0] > 2 * high[2]))
    )


@pytest.mark.parametrize("rows, columns", [(1, 3), (3, 3), (2, 2), (2, 4), (3, 2)])
def test_a_heat_map_with_too_few_or_many_labels_is_refused(ax, rows, columns):
    with pytest.raises(ValueError, match=rf"{rows} rows and {columns} columns.*\(2, 3\)"):
        plots.heat_map(ax, np.zeros((2, 3)), ["r"] * rows, ["c"] * columns, label="x")


@pytest.mark.parametrize("time, unit", [(0, 0), (0, 2), (1, 1), (3, 0), (3, 2)])
@pytest.mark.parametrize("given_state", [False, True])
def test_the_numbers_on_an_lstm_cell_are_those_of_the_trace(ax, time, unit, given_state):
    rng = np.random.default_rng(time + unit)
    state = (
        tuple(rng.normal(size=(2, 3)).astype("float32") for _ in range(2)) if given_state else None
    )
    trace = LSTMCell.random(4, 3, rng).forward(
        3 * rng.normal(size=(2, 4, 4)).astype("float32"), state
    )
    plots.lstm_cell(ax, trace, time, unit)
    names = ("input_gate", "forget_gate", "candidate", "output_gate", "cell", "hidden")
    i, f, g, o, c, h = (trace[name][0, time, unit] for name in names)
    before = trace.start[1][0, unit] if time == 0 else trace["cell"][0, time - 1, unit]
    flows = {
        "$c_{t-1}$": before,
        "kept: $f c_{t-1}$": f * before,
        "$c_t$": c,
        "forget $f$": f,
        "input $i$": i,
        "candidate $g$": g,
    }
    flows |= {"new: $i g$": i * g, r"$\tanh c_t$": np.tanh(c), "output $o$": o, "$h_t$": h}
    found = dict(text.split("\n") for text in texts(ax) if "\n" in text)
    assert found == {name: f"{value:+.2f}" for name, value in flows.items()}
    assert float(found["kept: $f c_{t-1}$"]) + float(found["new: $i g$"]) == pytest.approx(
        float(found["$c_t$"]), abs=0.016
    )
    for name, value in flows.items():
        assert same_color(
            texts(ax)[f"{name}\n{value:+.2f}"].get_color(), BLUE if value >= 0 else ORANGE
        )
    for color, values in (
        (BLUE, [v for v in flows.values() if v >= 0]),
        (ORANGE, [v for v in flows.values() if v < 0]),
    ):
        assert np.allclose(arrows(ax, color), [0.6 + 6 * min(abs(value), 1) for value in values])


# --- sliders ---


def test_the_figure_comes_first_and_then_its_sliders(screen):
    assert (
        widgets.explore(draw, hidden_size=(1, 9, 2, 5), rate=(0, 1, 0.25, 1), shift=(-1.0, 1, 1, 0))
        is None
    )
    first, box = screen.shown
    assert image(first)["alt"] == "Drawn with {'hidden_size': 5, 'rate': 1.0, 'shift': 0.0}."
    assert screen.updates == plt.get_fignums() == []
    assert [
        (type(s), s.description, s.min, s.max, s.step, s.value, s.continuous_update)
        for s in box.children
    ] == [
        (ipywidgets.IntSlider, "hidden size", 1, 9, 2, 5, False),
        (ipywidgets.FloatSlider, "rate", 0, 1, 0.25, 1, False),
        (ipywidgets.FloatSlider, "shift", -1, 1, 1, 0, False),
    ]


def test_a_slider_draws_anew_with_what_all_of_them_say(screen):
    widgets.explore(draw, size=(1, 9, 1, 5), rate=(0.0, 1.0, 0.25, 0.5))
    size, rate = screen.shown[1].children
    for slider, value in (
        (size, 7),
        (rate, 0.25),
        (rate, 0.25),
        (size, 99),
    ):  # the same value again draws nothing, 99 is too much
        slider.value = value
    drawn = [
        f"Drawn with {{'size': {size}, 'rate': {rate}}}."
        for size, rate in ((7, 0.5), (7, 0.25), (9, 0.25))
    ]
    assert [image(update)["alt"] for update in screen.updates] == drawn
    assert len(screen.shown) == 2 and plt.get_fignums() == []


def test_a_text_box_draws_anew_as_one_types(screen):
    widgets.explore(draw, first_word="The <b>", size=(1, 9, 1, 5), rest="")
    first, box = screen.shown
    assert image(first)["alt"] == "Drawn with {'first_word': 'The <b>', 'size': 5, 'rest': ''}."
    word, size, rest = box.children
    assert [type(dial) for dial in box.children] == [
        ipywidgets.Text,
        ipywidgets.IntSlider,
        ipywidgets.Text,
    ]
    assert (word.description, word.value, word.continuous_update) == ("first word", "The <b>", True)
    word.value, size.value, rest.value = "Thé", 7, "☾"
    drawn = [("Thé", 5, ""), ("Thé", 7, ""), ("Thé", 7, "☾")]
    assert [image(update)["alt"] for update in screen.updates] == [
        f"Drawn with {{'first_word': {word!r}, 'size': {size}, 'rest': {rest!r}}}."
        for word, size, rest in drawn
    ]


def test_what_cannot_be_drawn_is_said_in_place_until_it_can(screen):
    def picky(text):
        if not text.isascii() or not text:
            raise ValueError(f"Not <{text}> & co.")
        return draw(text=text)

    with pytest.raises(
        ValueError
    ):  # a cell that cannot draw its first figure is broken, and must not look as if it ran
        widgets.explore(picky, text="")
    widgets.explore(picky, text="a")
    first, box = screen.shown
    assert image(first)["alt"] == "Drawn with {'text': 'a'}."
    for text in ("aé", "b"):
        box.children[0].value = text
    said, again = screen.updates
    assert said._repr_html_() == '<p role="alert">Not &lt;aé&gt; &amp; co.</p>'
    assert image(again)["alt"] == "Drawn with {'text': 'b'}."


def test_an_error_that_is_no_matter_of_values_is_not_hidden(screen):
    with pytest.raises(ZeroDivisionError):
        widgets.explore(lambda size: draw(size=1 / size), size=(0, 5, 1, 0))
    assert screen.shown == []


@pytest.mark.parametrize(
    "dials, message",
    [({}, "one dial is needed")] + [({"a": (1, 5, 1, n)}, f"'a' starts at {n}") for n in (0, 6)],
)
def test_dials_that_make_no_sense_are_refused_before_anything_is_drawn(dials, message, screen):
    with pytest.raises(ValueError, match=message):
        widgets.explore(draw, **dials)
    assert screen.shown == [] and plt.get_fignums() == []


@pytest.mark.parametrize(
    "cells, size", [(2, 3), (3, 4)], ids=["as it is stored", "after a slider moved"]
)
def test_a_notebook_keeps_the_picture_and_a_kernel_changes_it(cells, size, tmp_path):
    sources = [
        f"import sys; sys.path.insert(0, {str(outputs.NOTEBOOKS.parent)!r})\n"
        "import ipywidgets, matplotlib.pyplot as plt\n"
        "from helpers.widgets import explore\n"
        "made = []\n"
        "ipywidgets.Widget.on_widget_constructed(made.append)",
        "def draw(size):\n"
        "    return plt.figure(figsize=(size, 1)), f'{size} inches \"wide\"'\n"
        "explore(draw, size=(1, 5, 1, 3))",
        "next(widget for widget in made if isinstance(widget, ipywidgets.IntSlider)).value = 4",
    ]
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources[:cells]])
    NotebookClient(
        notebook, kernel_name="python3", timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert outputs.WIDGET in notebook.cells[1].outputs[1].data
    first, box = (
        outputs.normalise(notebook).cells[1].outputs
    )  # one picture and the sliders, no second picture
    assert first.data["text/html"].startswith(
        f'<img alt="{size} inches &quot;wide&quot;" src="data:image/png;base64,'
    )
    assert list(box.data) == ["text/plain"] and box.data["text/plain"].startswith("VBox(")
    assert all(cell.outputs == [] for cell in notebook.cells[2:])
