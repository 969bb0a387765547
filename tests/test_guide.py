"""The instructor's guide names sections that exist, and quotes answers that the notebooks print."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "instructors.md").read_text("utf-8")
TEACHING = GUIDE[: GUIDE.index("\n## Running it for a class")]  # what follows quotes messages
NOTEBOOKS = sorted((ROOT / "notebooks").glob("0*.ipynb"))


def cells(path):
    return json.loads(path.read_text("utf-8"))["cells"]


def headings(path):
    prose = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "markdown"]
    return set(re.findall(r"^#+ (.+)$", "\n".join(prose), re.MULTILINE))


def printed(path):
    outputs = [output for cell in cells(path) for output in cell.get("outputs", [])]
    texts = [out.get("text") or out.get("data", {}).get("text/plain") or "" for out in outputs]
    return "\n".join("".join(text) for text in texts)


def part(path):
    """Return what the guide says about one notebook."""
    start = re.search(rf"^### {path.name[:2]} .*$", TEACHING, re.MULTILINE)
    assert start, f"the guide has no section about {path.name}"
    return re.split(r"^##", TEACHING[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_section_that_the_guide_names_exists():
    named = set(re.findall(r'"([^"\n]+)"', TEACHING)) - {"quotes"}
    titles = set().union(*map(headings, NOTEBOOKS))
    votes = {name for name in named if name[0].isupper()}
    assert len(votes) > 40
    assert votes <= titles, votes - titles


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_answers_are_those_of_the_outputs(path):
    rows = [line.split(" | ") for line in part(path).splitlines() if line.startswith("| ")]
    votes = [row for row in rows if len(row) == 3 and row[0] != "| vote"]
    assert votes, f"no votes for {path.name}"
    answers = [answer for row in votes for answer in re.findall("`([^`]+)`", row[2])]
    missing = [answer for answer in answers if answer not in printed(path)]
    assert not missing, missing


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_votes_stand_in_their_own_notebook(path):
    named = re.findall(r'^\| "([^"]+)"', part(path), re.MULTILINE)
    assert set(named) <= headings(path), set(named) - headings(path)
