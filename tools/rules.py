"""The rules that every notebook keeps: python -m tools.rules [NOTEBOOK ...]

Each rule is a function of a notebook (and its path, where it matters) that returns a list of
complaints, empty if all is well. CONTRIBUTING.md lists those that an author meets.
"""

import ast
import copy
import io
import itertools
import re
import sys
import tokenize
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

from tools import outputs

ROOT = Path(__file__).resolve().parents[1]

KNOWN_TAGS = {
    "exercise": "a cell with a placeholder for the student",
    "solution": "a written-out solution",
    "instructor": "notes for the person in front of the class",
    "nbval-ignore-output": "runs in the tests, but its output may differ from the stored one",
    "raises-exception": "an error on purpose, which is stored",
    "slow": "takes more than 20 seconds",
}
FIRST_LINE = 'import sys; sys.path.insert(0, "..")  # the repository, so that `helpers` is found'
SECOND_LINE = re.compile(r"from helpers(\.\w+)? import ")
LONGEST_LINE = 120  # characters of code, so that it fits a projected page
LARGEST_FILE = 500_000  # bytes

NOISE = {
    "a memory address": r"\b0x[0-9a-fA-F]{6,}\b",
    "an absolute path": r"(?<![\w./:<])/(?:Users|home|root|tmp|usr|opt|var|work|private|mnt|srv"
    r"|content)/|\b[A-Z]:\\",
    "a log line": r"(?m)^[IWEF]\d{4} \d\d:|^\d{4}-\d\d-\d\d[ T]\d\d:\d\d"
    r"|^(?:DEBUG|INFO|WARNING|ERROR)\b",
    "a timing": r"(?i)(?!\b\d{4}s\b)\b\d[\d.,]* ?(?:s|ms|µs|us|ns|secs?|seconds?|mins?|minutes?)\b"
    r"|\d\d:\d\d<|/s\b|it/s|/step\b|(?:per|a) second\b",
}
CHANGES_ITS_OUTPUT = {"fit", "tqdm", "trange", "clear_output", "update_display"}


def code_cells(notebook):
    """Return (number, cell) for every cell of code; the number counts all cells, from 0."""
    return [
        (number, cell) for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"
    ]


def prose(notebook):
    """Return (number, source) for every cell of prose."""
    return [
        (number, cell.source)
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
    ]


def tags(cell):
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


def is_compared(cell):
    """Whether the tests compare the output of a cell with the stored one."""
    return "nbval-ignore-output" not in tags(cell)


def counts_run_from_1(notebook):
    """Every cell of code was run, once, in order."""
    counts = [cell.execution_count for _, cell in code_cells(notebook)]
    complaints = (
        []
        if counts == list(range(1, len(counts) + 1))
        else [f"not run from top to bottom: counts are {counts}"]
    )
    return complaints + [
        f"cell {number} is empty"
        for number, cell in code_cells(notebook)
        if not cell.source.strip()
    ]


def stored_as_make_outputs_does(notebook):
    """The file is valid, and has no metadata, widgets or progress that `make outputs` removes."""
    complaints = []
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        return ["cells need an id each (nbformat 4.5)"]
    try:
        nbformat.validate(copy.deepcopy(notebook))  # a copy, since it repairs what it finds
    except nbformat.ValidationError as error:
        complaints.append(f"not a valid notebook: {str(error).splitlines()[0]}")
    clean = outputs.normalise(notebook)
    if notebook.metadata != clean.metadata:
        complaints.append(f"metadata of the notebook should be {dict(clean.metadata)}")
    for number, (cell, tidy) in enumerate(zip(notebook.cells, clean.cells, strict=True)):
        complaints += [
            f"cell {number}: {key} is not as `make outputs` stores it"
            for key in cell
            if cell[key] != tidy[key]
        ]
    return complaints


def starts_with_the_agreed_lines(notebook, path):
    """The first cell of code finds the helpers and sets up TensorFlow, before anything else."""
    lines = [line for _, cell in code_cells(notebook)[:1] for line in cell.source.splitlines()]
    wanted = FIRST_LINE
    if path.parent.name == "solutions":  # one folder further down
        wanted = FIRST_LINE.replace('".."', '"../.."')
    if lines[:1] != [wanted]:
        return [f"the first cell of code should start with: {wanted}"]
    if not (len(lines) > 1 and SECOND_LINE.match(lines[1])):
        return ["the second line of the first cell of code should import from helpers"]
    return []


def has_no_stray_errors(notebook):
    """Errors are stored where a tag announces them, and only there; nothing goes to stderr."""
    complaints = []
    for number, cell in code_cells(notebook):
        kinds = [output.output_type for output in cell.outputs]
        if ("error" in kinds) != ("raises-exception" in tags(cell)):
            complaints.append(f"cell {number}: an error and the tag raises-exception go together")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            complaints.append(f"cell {number} writes to stderr")
    return complaints


def texts(cell):
    """Return the texts of a cell's outputs that are compared, figures left out."""
    result = []
    for output in cell.outputs:
        data = output.get("data", {})
        if "<img" not in data.get("text/html", ""):  # a figure has alternative text only
            result += [output.get("text", ""), output.get("evalue", "")]
            result += [text for kind, text in data.items() if kind.startswith("text/")]
    return result


def has_no_noise(notebook):
    """No compared output holds what changes from run to run."""
    complaints = []
    for number, cell in code_cells(notebook):
        for what, pattern in NOISE.items():
            found = [match.group() for text in texts(cell) for match in re.finditer(pattern, text)]
            if found and is_compared(cell):
                complaints.append(f"cell {number}: the output holds {what}: {found[0]!r}")
    return complaints


class Pictures(HTMLParser):
    """Collect the pictures of a page, and how each is described."""

    def __init__(self, page):
        super().__init__()
        self.described = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        text = dict(attributes).get({"img": "alt", "svg": "aria-label"}.get(tag))
        if tag in ("img", "svg"):
            self.described.append(bool(text and text.strip()))


def describes_its_pictures(notebook):
    """Every picture has an alternative text where readers' tools look for it."""
    complaints = []
    for number, cell in enumerate(notebook.cells):
        pages = (
            [re.sub(r"```.*?```|`[^`\n]*`", "", cell.source, flags=re.S)]
            if cell.cell_type == "markdown"
            else []
        )
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            pages += [text for kind, text in data.items() if kind in ("text/html", "text/markdown")]
            if any(kind.startswith("image/") for kind in data):
                complaints.append(
                    f"cell {number} shows a bare image: use helpers.plots.show(figure, alt=...)"
                )
        if not all(described for page in pages for described in Pictures(page).described):
            complaints.append(f"cell {number}: an <img> without alt or an <svg> without aria-label")
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(", pages[0]):
            complaints.append(f"cell {number}: a picture without alternative text: ![]()")
    return complaints


def is_plain_python(notebook):
    """Cells hold Python that a script could hold, in lines that fit a projected page."""
    complaints = []
    for number, cell in code_cells(notebook):
        try:
            ast.parse(cell.source)
            tokens = list(tokenize.generate_tokens(io.StringIO(cell.source).readline))
        except (SyntaxError, tokenize.TokenError) as error:
            complaints.append(f"cell {number} is not plain Python (a magic?): {error}")
            continue
        ends = (tokenize.NEWLINE, tokenize.COMMENT, tokenize.ENDMARKER)
        if any(
            token.string == ";" and after.type in ends
            for token, after in zip(tokens, tokens[1:], strict=False)
        ):
            complaints.append(
                f"cell {number}: a semicolon at the end of a line hides nothing in the tests"
            )
        if "get_ipython" in cell.source or re.search(r"#\s*(NBVAL|PYTEST)_", cell.source):
            complaints.append(
                f"cell {number}: tags say how a cell is tested, and get_ipython is not for lessons"
            )
        complaints += [
            f"cell {number}: a line of {len(line)} characters, more than {LONGEST_LINE}: "
            f"{line.strip()[:40]}..."
            for line in cell.source.splitlines()
            if len(line) > LONGEST_LINE
        ]
    return complaints


def asserts_what_it_checks(notebook):
    """Below a paragraph that begins with **Check** some cell asserts, before the next paragraph."""
    complaints, open_check = [], None
    for number, cell in enumerate(notebook.cells + [None]):
        if cell is None or cell.cell_type == "markdown":
            if open_check is not None:
                complaints.append(
                    f"cell {open_check} says Check, and no cell below it asserts anything"
                )
            says_check = cell is not None and re.search(r"(?m)^\*\*Check[.,]", cell.source)
            open_check = number if says_check else None
        elif re.search(r"(?m)^\s*assert\b", cell.source):
            open_check = None
    return complaints


def calls(source):
    """Return the names of what a cell calls when it runs: not what it only defines."""
    found, left = set(), [ast.parse(source)]
    while left:
        node = left.pop()
        if isinstance(node, ast.Call):
            found.add(getattr(node.func, "attr", getattr(node.func, "id", None)))
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            left += ast.iter_child_nodes(node)
    return found


def tags_what_changes(notebook):
    """Tags are known ones, and a cell with a progress bar is not compared."""
    complaints = []
    for number, cell in enumerate(notebook.cells):
        complaints += [
            f"cell {number}: unknown tag {tag}" for tag in tags(cell) if tag not in KNOWN_TAGS
        ]
        if cell.cell_type == "code" and is_compared(cell):
            try:
                shown = calls(cell.source) & CHANGES_ITS_OUTPUT
            except SyntaxError:
                continue  # another rule complains
            complaints += [
                f"cell {number} calls {name}: tag it nbval-ignore-output" for name in sorted(shown)
            ]
    return complaints


def headings(notebook):
    """Return the headings with their marks, as in "## The idea"."""
    fenced = re.compile(r"^```.*?^```", re.S | re.M)
    return [
        line
        for _, source in prose(notebook)
        for line in fenced.sub("", source).splitlines()
        if re.match(r"#+ ", line)
    ]


def headings_go_down_one_by_one(notebook):
    """Below a heading stands one of its size or a size smaller: screen readers skip along them."""
    found = headings(notebook)
    levels = [len(line.partition(" ")[0]) for line in found]
    return [
        f"{line!r} follows {before!r}: a size is left out"
        for (before, line), (last, level) in zip(
            itertools.pairwise(found), itertools.pairwise(levels), strict=True
        )
        if level > last + 1
    ]


def is_titled_after_its_file(notebook, path):
    """NN_verb_and_more.ipynb has the title "# Verb and more", and no other of that size."""
    if not re.fullmatch(r"\d\d_[a-z0-9]+(_[a-z0-9]+)+\.ipynb", path.name):
        return ["the file should be named NN_verb_and_more.ipynb"]
    if not (
        notebook.cells
        and notebook.cells[0].cell_type == "markdown"
        and notebook.cells[0].source.startswith("# ")
    ):
        return ["the first cell should be the title: # Verb and more"]
    complaints = []
    if sum(line.startswith("# ") for line in headings(notebook)) != 1:
        complaints.append("there should be one heading of the first size, the title")
    number, *wanted = path.stem.split("_")
    found = re.findall(r"\w+", notebook.cells[0].source.splitlines()[0].lower())
    if found and found[0].isdigit() and int(found.pop(0)) != int(number):
        complaints.append(f"the title's number is not the file's, {number}")
    if found[:1] != wanted[:1] or sum(word in found for word in wanted) < (len(wanted) + 1) / 2:
        complaints.append(
            f"the title should begin with {wanted[0]!r} and say what the file's name says"
        )
    return complaints


def anchor(heading):
    """Return a heading as links name it, JupyterLab's way and others' made alike."""
    return re.sub(r"[^\w-]", "", unquote(heading).strip().lower().replace(" ", "-"))


def links_lead_somewhere(notebook, path):
    """A link to a file of the course, or to a heading, finds it."""
    complaints = []
    for number, source in prose(notebook):
        source = re.sub(r"```.*?```|`[^`\n]*`", "", source, flags=re.S)
        targets = re.findall(r"\]\(\s*<?([^\s)>]+)", source) + re.findall(
            r"""(?:href|src)=["']([^"']+)""", source
        )
        targets += re.findall(r"(?m)^\[[^\]]+\]:\s*(\S+)", source)
        for target in targets:
            parts = urlsplit(target)
            if parts.scheme in ("http", "https", "mailto", "attachment", "data"):
                continue
            file = (path.parent / unquote(parts.path)) if parts.path else path
            if parts.path.startswith("/") or not file.exists():
                complaints.append(f"cell {number}: no such file: {target}")
            elif parts.fragment and file.suffix == ".ipynb":
                other = notebook if file == path else read(file)
                if anchor(parts.fragment) not in [
                    anchor(line.lstrip("#")) for line in headings(other)
                ]:
                    complaints.append(f"cell {number}: no such heading: {target}")
    return complaints


def is_small(notebook, path):
    """The file stays quick to load and to review."""
    size = path.stat().st_size
    return [] if size <= LARGEST_FILE else [f"{size:,} bytes, more than {LARGEST_FILE:,}"]


RULES = [
    counts_run_from_1,
    stored_as_make_outputs_does,
    has_no_stray_errors,
    has_no_noise,
    describes_its_pictures,
    headings_go_down_one_by_one,
    is_plain_python,
    tags_what_changes,
    asserts_what_it_checks,
]
RULES_WITH_PATH = [
    starts_with_the_agreed_lines,
    is_titled_after_its_file,
    links_lead_somewhere,
    is_small,
]


def read(path):
    """Return a notebook unrepaired: nbformat.read would mend some of what the rules look for."""
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))


def complaints(path):
    """Return everything that is amiss with a notebook file."""
    notebook = read(path)
    found = [line for rule in RULES for line in rule(notebook)]
    return found + [line for rule in RULES_WITH_PATH for line in rule(notebook, path)]


def ladder(readme):
    """Return the files of notebooks that the rows of README's table link to, in order."""
    rows = [line for line in readme.splitlines() if line.lstrip().startswith("|")]
    found = [
        name for row in rows for name in re.findall(r"\((?:\./)?notebooks/(\d\d_\w+\.ipynb)\)", row)
    ]
    return list(dict.fromkeys(found))


def every_notebook():
    """Return the files of the course, in order, and of its solutions."""
    folder = ROOT / "notebooks"
    return [*sorted(folder.glob("*.ipynb")), *sorted(folder.glob("solutions/*.ipynb"))]


def main(paths):
    """Print what is wrong with each notebook; return 1 if anything is."""
    found = [f"{path}: {line}" for path in paths for line in complaints(Path(path))]
    print("\n".join(found), end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or every_notebook()))
