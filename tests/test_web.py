"""What slides and the PDF share, where something is missing, damaged or not there yet."""

import io
import tarfile

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import web


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Know one package, whose archive lies in a cache; return the cache."""
    cache = tmp_path / "cache"
    cache.mkdir()
    with tarfile.open(cache / "small-1.0.tgz", "w:gz") as archive:
        for name in ("package/a.js", "package/b.js", "package/../../evil.js"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    digest = "wrong"
    monkeypatch.setattr(
        web, "PACKAGES", {"small": {"version": "1.0", "sha512": digest, "files": r"a\.js"}}
    )
    with pytest.raises(web.Missing, match="not what was published"):
        web.fetch("small", cache)
    digest = web.digest(cache / "small-1.0.tgz")
    monkeypatch.setitem(web.PACKAGES["small"], "sha512", digest)
    return cache


def npm(folder, script):
    """Write a program that stands for npm."""
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)


def test_what_was_downloaded_once_needs_no_npm(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    web.prepare(out, package)
    files = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert files == ["small/a.js"]


def test_without_npm(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(web.Missing, match="npm is missing.*Node.js"):
        web.fetch("small", tmp_path / "empty")


def test_without_a_network(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    npm(tmp_path, "echo 'npm error code ENOTFOUND' >&2; echo more >&2; exit 1")
    out = tmp_path / "out"
    (out / "old").mkdir(parents=True)
    with pytest.raises(web.Missing, match=r"could not download small 1.0 \(npm error code ENOT"):
        web.prepare(out, tmp_path / "empty")
    assert (out / "old").exists()  # the last slides are better than none


def test_a_damaged_archive(package):
    (package / "small-1.0.tgz").write_bytes(b"half")
    with pytest.raises(web.Missing, match="not what was published. Delete it"):
        web.fetch("small", package)


def test_without_a_browser(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    with pytest.raises(web.Missing, match="No Chromium was found"):
        web.find_browser()
    (mine := tmp_path / "mine").write_text("")
    assert web.find_browser(str(mine)) == str(mine)
    monkeypatch.setenv("CHROMIUM", str(tmp_path))
    assert web.find_browser(str(mine)) == str(tmp_path)


def test_what_is_missing_ends_with_a_sentence(tmp_path):
    def without_npm():
        raise web.Missing("npm is missing")

    def blocked():
        (tmp_path / "file").write_text("")
        web.prepare(tmp_path / "file" / "out")

    with pytest.raises(SystemExit, match="^npm is missing$"):
        web.finish(without_npm)
    with pytest.raises(SystemExit, match=r"file/out.*: Not a directory$|file.*: .* directory"):
        web.finish(blocked)


def test_a_notebook_that_was_not_run(tmp_path):
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), tmp_path / "a.ipynb")
    with pytest.raises(web.Missing, match="a.ipynb was not run to its end: make outputs"):
        web.read(tmp_path / "a.ipynb")


def test_outputs_that_say_nothing_are_left_out(tmp_path):
    outputs = [
        new_output("stream", name="stdout", text="a: 100%|███| 5/5 [00:04<00:00]\n"),
        new_output("stream", name="stdout", text="right: 90%\n 50%|█  | 1/2 [00:04]\nend\n"),
        new_output("display_data", data={"text/plain": "FloatSlider(value=0.95)"}),
        new_output("display_data", data={"text/plain": "A line.", "text/html": "<img>"}),
    ]
    cell = new_code_cell("run()", outputs=outputs, execution_count=1)
    nbformat.write(new_notebook(cells=[cell, new_markdown_cell("a")]), tmp_path / "a.ipynb")
    first, second = web.read(tmp_path / "a.ipynb").cells[0].outputs
    assert first.text == "right: 90%\nend\n" and second.data["text/html"] == "<img>"


def test_links_lead_somewhere_or_become_text():
    source = "[a](b.ipynb), [c](../d.md), [e](https://f.org/g), [h](#i), ![j](k.png)"
    changed = web.relink(source, lambda target: "B" if target == "b.ipynb" else "")
    assert changed == "[a](B), c, [e](https://f.org/g), [h](#i), ![j](k.png)"
