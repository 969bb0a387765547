"""Lay a notebook out on slides of 1280 x 720 pixels: what stands on which, and how large.

Heights are estimated from the sizes that docs/slides.css sets, a little too large rather than too
small; tests/test_slides.py measures the result in a browser.
"""

import ast
import base64
import copy
import math
import re
import struct
from dataclasses import dataclass, field

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

WIDTH, HEIGHT = 1184, 640  # pixels of a slide within its margins
RUNNING = 44  # the title of the section, above a slide that does not begin it
PROSE, DENSE, LARGE = 28, 24, 32  # pixels: type; beside a figure and in tables; where there is room
CODE = (24, 20, 18, 16)  # the largest at which the longest line fits; 24 where there is room
LETTER, MONO = 0.435, 0.605  # widths of a mean letter, of any letter of code, for size 1
PROSE_LINE, CODE_LINE, GAP = 1.34, 1.3, 16  # line heights for size 1, pixels between blocks
LEAST, MOST = 0.8, 1.6  # by how much a figure may be scaled
HEADINGS = {1: 54, 2: 42, 3: 34}
OBSERVATION, PREDICTION, NOTE = "**What to see.**", "**Predict", "> **In class.**"
ITEM = re.compile(r"([-*]|\d+\.) ")


@dataclass
class Block:
    """A piece that stays whole: a paragraph, a list item, a cell of code, a part of an output."""

    kind: str  # heading, prose, note, code, output or figure
    source: object  # Markdown, code, or an output
    size: float = PROSE  # pixels of its type; of a figure the factor by which it is scaled
    starts: bool = False  # a new slide, whatever room there is
    reveal: bool = False  # appears at a click
    natural: tuple = ()  # width and height of a figure

    @property
    def height(self):
        """Return the pixels it takes, with the gap below it."""
        if self.kind == "figure":
            return self.natural[1] * self.size + GAP
        if self.kind in ("code", "output"):
            return code_height(self.source, self.size)
        if self.kind == "heading":
            return lines(self.source, self.size) * self.size * 1.2 + 24
        return prose_height(self.source, self.size)


@dataclass
class Slide:
    """What stands on one slide."""

    title: str  # of its section
    blocks: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    @property
    def level(self):
        """Return the level of the heading that begins it, 0 for none."""
        first = self.blocks[0] if self.blocks else None
        return level(first.source) if first and first.kind == "heading" else 0

    @property
    def shows_figure(self):
        """Whether it is there for a figure."""
        return bool(self.blocks) and self.blocks[0].kind == "figure"

    @property
    def room(self):
        """Return the pixels that are left."""
        used = sum(block.height for block in self.blocks)
        return HEIGHT - used - (0 if self.level else RUNNING)


def level(source):
    """Return the level of a heading, 0 for other Markdown."""
    return len(re.match(r"#*", source)[0])


def paragraphs(source):
    """Split Markdown into headings, paragraphs, list items, tables; fences and details stay whole.

    >>> paragraphs("## Title\\n\\nText\\ngoes on.\\n- one\\n- two")
    ['## Title', 'Text\\ngoes on.', '- one', '- two']
    """
    parts, end = [[]], None
    for line in source.splitlines():
        if end:
            parts[-1].append(line)
            end = None if line.startswith(end) else end
            continue
        if not line.strip() or ITEM.match(line) or line.startswith("#"):
            parts.append([])
        if line.strip():
            parts[-1].append(line)
        end = next(
            (e for s, e in (("```", "```"), ("<details", "</d")) if line.startswith(s)), None
        )
        if line.startswith("#"):
            parts.append([])
    return ["\n".join(part) for part in parts if part]


def visible(text):
    """Return about the letters that a reader sees of Markdown."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$[^$]+\$", lambda m: re.sub(r"\\[A-Za-z]+|[{}_^$\\&]", "x", m[0]), text)
    text = re.sub(r"`([^`]*)`", lambda m: m[1] + "x" * (len(m[1]) // 5), text)
    return re.sub(r"[*]|^(#+|[->]|\d+\.) |<[^>]*>", "", text)


def lines(text, size, width=WIDTH, letter=LETTER):
    """Return how many lines a text takes."""
    return max(1, math.ceil(len(text) * size * letter / width))


def prose_height(source, size=PROSE):
    """Return the height of a paragraph, a list item, a table, a formula, a fence or details."""
    rows = source.splitlines()
    if source.startswith("|"):
        return table_height(rows)
    if source.startswith("```"):
        return (len(rows) - 2) * CODE[1] * CODE_LINE + 40
    if source.startswith("<details"):
        return source.count("<details") * size * PROSE_LINE + GAP
    formulas = re.findall(r"\$\$.+?\$\$", source, flags=re.DOTALL)
    height = sum((1 + f.count(r"\\")) * size * 1.5 + size * 1.6 for f in formulas)
    height += sum(size * 0.5 for f in formulas if "frac" in f or "sum" in f)
    text = visible(re.sub(r"\$\$.+?\$\$", "", source, flags=re.DOTALL).replace("\n", " "))
    if text.strip():
        indent = 40 if ITEM.match(source) or source.startswith(">") else 0
        height += lines(text, size, WIDTH - indent) * size * PROSE_LINE
    return height + GAP


def table_height(rows):
    """Return the height of a table, whose columns share the width as their texts need it."""
    texts = [row.strip("|").split("|") for row in rows if "---" not in row]
    cells = [[len(visible(text)) for text in row] for row in texts]
    widest = [max(column) for column in zip(*cells, strict=False)]
    share = min(1, (WIDTH - 30 * len(widest)) / (sum(widest) * DENSE * LETTER * 1.1))
    height = 0
    for row in cells:
        wrapped = [n / (w * share) for n, w in zip(row, widest, strict=False) if w]
        height += math.ceil(max(wrapped)) * DENSE * PROSE_LINE + 13
    return height + GAP


def split_table(source):
    """Split a table that is higher than a slide, and repeat its head."""
    rows = source.splitlines()
    if table_height(rows) < HEIGHT - RUNNING - 40 or len(rows) < 6:
        return [source]
    half = 2 + (len(rows) - 2) // 2
    return ["\n".join(rows[:half]), "\n".join(rows[:2] + rows[half:])]


def prose_blocks(cell):
    """Return the blocks of a cell of Markdown."""
    kind = cell.metadata.get("slideshow", {}).get("slide_type", "")
    noted = kind == "notes" or "instructor" in cell.metadata.get("tags", [])
    blocks, observed = [], kind == "fragment"
    for part in paragraphs(cell.source) if kind != "skip" else []:
        if noted or part.startswith(NOTE):
            blocks.append(Block("note", re.sub(r"(?m)^> ?", "", part)))
        elif level(part):
            observed = False
            blocks.append(Block("heading", part, HEADINGS[min(level(part), 3)], starts=True))
        else:
            # What leads on to the next cell is no part of the observation.
            ahead = part.startswith(PREDICTION) or part.endswith(":")
            observed = not ahead and (observed or part.startswith(OBSERVATION))
            halves = split_table(part) if part.startswith("|") else [part]
            starts = part.startswith(PREDICTION) and not blocks
            blocks += [Block("prose", half, starts=starts, reveal=observed) for half in halves]
    if kind in ("slide", "subslide") and blocks:
        blocks[0].starts = True
    return blocks


def only_prepares(source):
    """Whether code does nothing but import and set up: nothing to look at in class.

    >>> only_prepares("import numpy as np\\nplots.use_style()"), only_prepares("print(1)")
    (True, False)
    """
    body = ast.parse(source).body
    imports = [isinstance(node, ast.Import | ast.ImportFrom) for node in body]
    calls = [isinstance(node, ast.Expr) and "print" not in ast.unparse(node) for node in body]
    return any(imports) and all(map(any, zip(imports, calls, strict=True)))


def without_alt(source):
    """Return code without alternative texts: the room sees the figure.

    >>> without_alt("plots.show(fig, alt='Two lines ' 'that cross.')")
    'plots.show(fig, alt=...)'
    """
    rows = source.encode().split(b"\n")  # ast counts bytes
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    found = [word.value for call in calls for word in call.keywords if word.arg == "alt"]
    for value in sorted(found, key=lambda value: -value.lineno):
        first, last = value.lineno - 1, value.end_lineno - 1
        row = rows[first][: value.col_offset] + b"..." + rows[last][value.end_col_offset :]
        rows[first : last + 1] = [row]
    return b"\n".join(rows).decode()


def fitting(text, largest=CODE[1]):
    """Return the largest size of code at which the longest line fits, or the smallest."""
    longest = max(map(len, text.splitlines()), default=0)
    fits = (size for size in CODE if size <= largest and longest * size * MONO <= WIDTH - 36)
    return next(fits, CODE[-1])


def code_height(text, size):
    """Return the height of code, or of what it printed, with lines wrapped as they are."""
    wrapped = sum(lines(line, size, WIDTH - 36, MONO) for line in text.splitlines())
    return wrapped * size * CODE_LINE + 20 + GAP


def pieces(text, kind="output"):
    """Split code, or what it printed, into blocks that fit on a slide, if possible at empty lines.

    Type shrinks before anything is split.
    """
    room, size = HEIGHT - RUNNING, fitting(text)
    size = next((s for s in CODE if s <= size and code_height(text, s) <= room), size)
    rows, parts = text.strip("\n").split("\n"), []
    while code_height("\n".join(rows), size) > room and len(rows) > 1:
        cut = max(n for n in range(1, len(rows)) if code_height("\n".join(rows[:n]), size) <= room)
        empty = [n for n in range(cut // 3, cut) if not rows[n].strip()]
        cut = empty[-1] if empty else cut
        parts.append("\n".join(rows[:cut]))
        rows = rows[cut:]
    return [Block(kind, part.strip("\n"), size) for part in [*parts, "\n".join(rows)]]


def output_blocks(output):
    """Return the blocks of an output."""
    if output.output_type == "stream":
        return pieces(output.text)
    if output.output_type == "error":
        return pieces(f"{output.ename}: {output.evalue}")
    text = output.data.get("text/html", "")
    if not (data := re.search(r"data:image/png;base64,([A-Za-z0-9+/]{64})", text)):
        return [Block("prose", text or output.data["text/plain"])]
    width, height = struct.unpack(">II", base64.b64decode(data[1])[16:24])
    scale = LEAST * min(1, WIDTH / width)
    return [Block("figure", output, scale, starts=True, natural=(width, height))]


def code_blocks(cell):
    """Return the blocks of a cell of code and of its outputs."""
    if cell.metadata.get("slideshow", {}).get("slide_type") == "skip" or not cell.source.strip():
        return []
    if only_prepares(cell.source) and not cell.outputs:
        return []
    source = without_alt(cell.source)
    outputs = [block for output in cell.outputs for block in output_blocks(output)]
    return [*pieces(source, "code"), *outputs]


def together(blocks):
    """Group blocks that belong on one slide: a question, its code, and what the code prints."""
    groups, last = [], None
    for block in blocks:
        belongs = last and not block.starts and (
            last.kind == "heading"
            or (last.kind in ("code", "output") and block.kind == "output")
            or (last.kind == "prose" and block.kind == "code" and not last.reveal)
            or (last.kind == "prose" and last.source.endswith(":"))
        )  # fmt: skip
        if belongs and block.kind != "note":
            groups[-1].append(block)
        else:
            groups.append([block])
        last = block
    return [part for group in groups for part in parted(group)]


def parted(group):
    """Part prose from code that has room on a slide with what it prints, but not with the prose."""
    code = next((n for n, block in enumerate(group) if block.kind == "code"), 0)
    heights = [block.height for block in group]
    if sum(heights) <= HEIGHT - RUNNING or sum(heights[code:]) > HEIGHT - RUNNING:
        return [group]
    return [group[:code], group[code:]] if "prose" in {b.kind for b in group[:code]} else [group]


class Deck:
    """The slides of a notebook, to which groups of blocks are added in order."""

    def __init__(self):
        self.slides = []
        self.title = ""
        self.figure = None  # the one that a coming observation is about
        self.early_notes = []

    def begin(self):
        """Begin a slide."""
        self.slides.append(Slide(self.title, notes=self.early_notes))
        self.early_notes = []

    def add(self, group):
        """Add blocks to the last slide if all of them have room there, and else to a new one."""
        first = group[0]
        if first.kind == "note":
            notes = self.slides[-1].notes if self.slides else self.early_notes
            notes.append(first.source)
            return
        if first.kind == "heading":
            self.figure = None
            if level(first.source) < 3:
                self.title = visible(first.source)
        if self.brings_figure(first):
            self.begin()
            self.slides[-1].blocks.append(copy.copy(self.figure))
        elif not self.slides or first.starts or not self.has_room(group):
            self.begin()
        for block in group:
            if block.height > self.slides[-1].room and self.slides[-1].blocks:
                self.begin()
            self.slides[-1].blocks.append(block)
            if block.kind in ("figure", "output"):
                self.figure = block if block.kind == "figure" else None

    def brings_figure(self, block):
        """Whether an observation, no longer beside its figure, has room to show it again."""
        if not (block.reveal and self.figure):
            return False
        slide = self.slides[-1]
        if slide.shows_figure and self.has_room([block]):
            return False
        block.size = DENSE
        fits = self.figure.height + block.height <= HEIGHT - RUNNING
        block.size = DENSE if fits else PROSE
        return fits

    def has_room(self, group):
        """Whether a group fits on the last slide; beside a figure stands only prose, smaller."""
        slide = self.slides[-1]
        if slide.shows_figure:
            if any(block.kind != "prose" for block in group):
                return False
            for block in group:
                block.size = DENSE
        if sum(block.height for block in group) <= slide.room:
            return True
        for block in group:
            block.size = PROSE if block.kind == "prose" else block.size
        return False


def lay_out(notebook):
    """Return the slides of a notebook."""
    blocks, deck = [], Deck()
    for cell in notebook.cells:
        if cell.cell_type != "raw":
            blocks += prose_blocks(cell) if cell.cell_type == "markdown" else code_blocks(cell)
    for before, block in zip(blocks, blocks[1:], strict=False):
        block.starts |= before.reveal and not block.reveal and block.kind != "note"
    for group in together(blocks):
        deck.add(group)
    for slide in deck.slides:
        fill(slide)
        let_answers_wait(slide)
    return deck.slides


def fill(slide):
    """Give the room that is left to a figure, or else to larger type."""
    first = slide.blocks[0]
    if first.kind == "figure":
        width, height = first.natural
        first.size = min(MOST, WIDTH / width, first.size + slide.room / height)
        return
    before = [block.size for block in slide.blocks]
    for block in slide.blocks:
        if block.kind == "prose":
            block.size = LARGE
        elif block.kind != "heading":
            block.size = fitting(block.source, CODE[0])
    if slide.room < 0:
        for block, size in zip(slide.blocks, before, strict=True):
            block.size = size


def let_answers_wait(slide):
    """Let appear at a click what answers a question, and what is to be seen."""
    asked = False
    for block in slide.blocks:
        answers = asked and block.kind == "output"
        block.reveal = block is not slide.blocks[0] and (block.reveal or answers)
        asked |= block.kind == "prose" and block.source.startswith(PREDICTION)


def to_cells(slide):
    """Return the cells from which nbconvert makes a slide."""
    cells, before = [], None
    for block in slide.blocks:
        like = before and [(b.kind, b.size, b.reveal) for b in (before, block)]
        if like and like[0] == like[1] and block.kind == "prose":
            items = ITEM.match(before.source) and ITEM.match(block.source)
            cells[-1].source += ("\n" if items else "\n\n") + block.source
        else:
            kind = "fragment" if block.reveal and not before.reveal else "-"
            cells.append(to_cell(block, kind))
        before = block
    begins_section = slide.level in (1, 2)
    cells[0].metadata.slideshow.slide_type = "slide" if begins_section else "subslide"
    if not slide.level:
        cells[0].metadata.slideshow.data = NotebookNode(title=slide.title)
    notes = [to_cell(Block("prose", note), "notes") for note in slide.notes]
    return [cells[0], *notes, *cells[1:]]


def to_cell(block, slide_type):
    """Return the cell of a block, with its size as a tag that docs/slides.css knows."""
    metadata = {"slideshow": NotebookNode(slide_type=slide_type), "tags": [f"size-{block.size}"]}
    if block.kind in ("heading", "prose"):
        return new_markdown_cell(block.source, metadata=metadata)
    if block.kind == "code":
        return new_code_cell(block.source, metadata=metadata)
    if block.kind == "output":
        output = NotebookNode(output_type="stream", name="stdout", text=block.source)
    else:
        output = copy.deepcopy(block.source)
        width, height = (round(side * block.size) for side in block.natural)
        size = f'<img width="{width}" height="{height}" '
        output.data["text/html"] = output.data["text/html"].replace("<img ", size)
        metadata["tags"] = []
    metadata["transient"] = {"remove_source": True}
    return new_code_cell("", metadata=metadata, outputs=[output])
