"""The repository's address is the same everywhere, and tools.links finds and mends what differs."""

import json
from pathlib import Path

import pytest

from tools import links

ROOT = Path(__file__).resolve().parents[1]
OURS = "OWNER/how-lstms-remember"
BADGE = "https://mybinder.org/v2/gh/{}/HEAD?urlpath=lab/tree/notebooks/00_start_here.ipynb"
PAGE = "https://github.com/{}/blob/main/notebooks/00_start_here.ipynb"
OTHERS = "https://github.com/GITenberg/Dracula_345"


@pytest.fixture
def copy(tmp_path):
    """A small repository in which everything is in step."""
    (tmp_path / "CITATION.cff").write_text(
        f'title: "x"\nrepository-code: "https://github.com/{OURS}"\n'
    )
    home = f"https://github.com/{OURS}"
    readme = f"[Binder]({BADGE.format(OURS)}), [page]({PAGE.format(OURS)}), {home}.git, {home}."
    (tmp_path / "README.md").write_text(f"{readme} {OTHERS}\n")
    (tmp_path / "notebooks").mkdir()
    notebook = {
        "cells": [{"cell_type": "markdown", "source": [f'<a href="{BADGE.format(OURS)}">']}]
    }
    (tmp_path / "notebooks" / "00_start_here.ipynb").write_text(json.dumps(notebook))
    links.main([], tmp_path)
    return tmp_path


def edit(path, old, new):
    """Replace in a file what is there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_repository_is_in_step(capsys):
    assert links.main(["--check"]) == 0, capsys.readouterr().out + "Run: make links"


def test_a_copy_in_step_stays_as_it_is(copy, capsys):
    assert links.main(["--check"], copy) == 0
    assert links.main([], copy) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "file, old, new",
    [
        ("README.md", f"gh/{OURS}", "gh/someone/how-lstms-remember"),
        ("README.md", f"gh/{OURS}", "gh/OWNER/another"),
        ("README.md", f"github.com/{OURS}/blob", "github.com/someone/how-lstms-remember/blob"),
        ("notebooks/00_start_here.ipynb", OURS, "someone/how-lstms-remember"),
        ("CITATION.cff", "OWNER", "someone"),
        ("CITATION.cff", OURS, "someone/another"),
    ],
)
def test_a_difference_is_caught_and_mended(copy, file, old, new):
    edit(copy / file, old, new)
    before = {path: path.read_bytes() for path in copy.rglob("*.*")}
    assert links.main(["--check"], copy) == 1
    assert before == {path: path.read_bytes() for path in copy.rglob("*.*")}
    assert links.main([], copy) == 0
    assert links.main(["--check"], copy) == 0


def test_a_new_address_reaches_every_link(copy):
    assert links.main(["--repository", "someone/lstm.course"], copy) == 0
    readme = (copy / "README.md").read_text()
    assert OURS not in readme + (copy / "notebooks" / "00_start_here.ipynb").read_text()
    assert (
        BADGE.format("someone/lstm.course") in readme
        and PAGE.format("someone/lstm.course") in readme
    )
    assert (
        "https://github.com/someone/lstm.course.git, https://github.com/someone/lstm.course. "
        + OTHERS
        in readme
    )
    assert links.repository((copy / "CITATION.cff").read_text()) == "someone/lstm.course"
    assert links.main(["--check"], copy) == 0


def test_a_link_to_a_missing_file_is_caught(copy, capsys):
    (copy / "notebooks" / "00_start_here.ipynb").unlink()
    assert links.main(["--check"], copy) == 1
    assert capsys.readouterr().out.count("no such file") == 2
    edit(copy / "README.md", "lab/tree/notebooks/", "%2Fdoc%2Ftree%2Fnotebooks%2F")
    assert links.main(["--check"], copy) == 1


def test_a_link_for_a_hub_is_kept_in_step(copy, capsys):
    hub = "https://HUB/hub/user-redirect/git-pull?repo=https://github.com/{}&urlpath=lab/tree/{}"
    (copy / "docs").mkdir()
    page = copy / "docs" / "instructors.md"
    for file, broken in (("00_start_here", 0), ("99_gone", 1)):
        page.write_text(hub.format(OURS, f"how-lstms-remember/notebooks/{file}.ipynb"))
        assert links.main(["--check"], copy) == broken, capsys.readouterr().out
    assert links.main(["--repository", "someone/how-lstms-remember"], copy) == 1
    assert "github.com/someone/how-lstms-remember&" in page.read_text()


def test_an_address_that_is_gone_is_refused(copy):
    edit(copy / "CITATION.cff", "repository-code", "url")
    assert links.main([], copy) == 1


def test_an_address_without_owner_is_refused(copy):
    with pytest.raises(SystemExit):
        links.main(["--repository", "lstm"], copy)
