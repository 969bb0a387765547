"""Every way in which a download can fail. No test leaves this machine."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import pytest

from helpers import ROOT, corpora
from helpers.corpora import CORPORA, check_length, find_book
from helpers.download import CorpusUnavailable, fetch
from tests.server import BOOK

pytestmark = pytest.mark.usefixtures("only_this_machine")
TIMEOUT = (0.5, 0.5)


def get(folder, *sources):
    """Find the book, as load_corpus does, but with other sources and less patience."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CORPORA["dracula"], "sources", list(sources))
        patch.setattr(corpora, "fetch", partial(fetch, timeout=TIMEOUT))
        return find_book("dracula", folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}


def fails(folder, *sources):
    """Fetch in vain; return the message, having checked that it helps and that nothing changed."""
    before = contents(folder)
    with pytest.raises(CorpusUnavailable) as caught:
        get(folder, *sources)
    message, first = str(caught.value), sources[0]
    assert message.startswith("Dracula could not be downloaded.\n  - ")
    assert message.count("\n  - ") == len(sources)
    assert "Three ways to go on:" in message and first["sha256"] in message
    assert str(folder / first["file"]) in message and first["url"] in message
    assert "python -m helpers.corpora" in message and 'fallback="speeches"' in message
    assert contents(folder) == before
    return message


# --- what works ---


def test_first_source_is_downloaded_once(tmp_path, server, capsys):
    path = get(tmp_path / "a/b", server.pinned())
    assert path == tmp_path / "a/b/345-8.txt" and path.read_bytes() == BOOK
    assert get(tmp_path / "a/b", server.pinned()) == path and server.requests == 1
    assert list(path.parent.iterdir()) == [path]
    assert "100%" in capsys.readouterr().err  # the progress bar


def test_second_source_is_told_each_time(tmp_path, server, capsys):
    path = get(tmp_path, server.pinned("404"), server.current())
    assert path.name == "pg345.txt" and "twenty errata" in capsys.readouterr().out
    assert get(tmp_path, server.pinned(), server.current()) == path and server.requests == 2
    assert "twenty errata" in capsys.readouterr().out


def test_a_file_of_any_kind_is_fetched_and_checked_as_the_caller_says(tmp_path, server):
    asked = []

    def check(path, source):
        asked.append((path.read_bytes(), source["file"]))
        return "" if len(asked) > 1 else "not this one"

    source = {"url": f"{server.url}/wrong", "file": "other.txt"}
    with pytest.raises(CorpusUnavailable) as caught:
        fetch([source], tmp_path, "Another title", check, timeout=TIMEOUT)
    assert str(caught.value) == (
        "Another title could not be downloaded.\n  - 127.0.0.1: sent something else (not this one)"
    )
    assert not list(tmp_path.iterdir())
    assert fetch([source], tmp_path, "Another title", check) == tmp_path / "other.txt"
    assert asked == [(b"another book", "other.txt")] * 2


# --- sources that fail ---


@pytest.mark.parametrize("route, phrase", [
    ("404", "answered 404"), ("503", "answered 503"), ("half", "the connection broke off"),
    ("stall", "no answer in time"), ("silent", "no answer in time"),
    ("wrong", "sent something else (SHA-256"), ("redirect", "web page"),
])  # fmt: skip
def test_pinned_source_fails(tmp_path, server, route, phrase):
    message = fails(tmp_path, server.pinned(route))
    assert f"127.0.0.1: {phrase}" in message.replace("sent something else (a ", "")


@pytest.mark.parametrize(
    "route, phrase",
    [("page", "web page"), ("wrong", "not Project Gutenberg's"), ("half", "connection broke off")],
)
def test_second_source_must_be_plausible(tmp_path, server, route, phrase):
    message = fails(tmp_path, server.pinned("404"), server.current(route))
    assert "answered 404" in message and phrase in message


def test_second_source_of_another_length(tmp_path, server):
    source = server.current()
    source["characters"] *= 2
    assert "characters, not about" in fails(tmp_path, server.pinned("404"), source)
    with pytest.raises(CorpusUnavailable, match="characters, not about"):
        fetch([source], tmp_path, "Dracula", check_length, timeout=TIMEOUT)
    assert not list(tmp_path.iterdir())


def test_no_network(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        refused = {"url": url, "file": "345-8.txt", "sha256": "0"}
        nowhere = {"url": "https://books.invalid/x", "file": "pg345.txt", "characters": 9}
        message = fails(tmp_path, refused, nowhere)
    assert "127.0.0.1: connection refused" in message
    assert "books.invalid: host name not found" in message


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_answers_403(tmp_path, server, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    source = {"url": f"{scheme}://books.invalid/403", "file": "345-8.txt", "sha256": "0"}
    assert "answered 403 Forbidden" in fails(tmp_path, source)
    assert server.requests == 1


# --- folders that fail ---


def test_folder_that_cannot_be_made(tmp_path, server):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in fails(tmp_path / "file/texts", server.pinned())
    assert server.requests == 0


def test_folder_that_cannot_be_written(tmp_path, server, monkeypatch):
    # Root may write anywhere, so chmod would prove nothing.
    def refuse(path, mode="r", *args, **kwargs):
        if "w" in mode and str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open(path, mode, *args, **kwargs)

    monkeypatch.setattr("pooch.downloaders.open", refuse, raising=False)
    assert f"Permission denied: {tmp_path}" in fails(tmp_path, server.pinned())
    assert server.requests == 0


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folder(tmp_path, server):
    (tmp_path / "texts").mkdir(mode=0o500)
    assert "Permission denied" in fails(tmp_path / "texts", server.pinned())


# --- files that are there already ---


def test_damaged_file_is_replaced_by_a_good_one_only(tmp_path, server, capsys):
    path = tmp_path / "345-8.txt"
    path.write_bytes(BOOK[:-5])
    fails(tmp_path, server.pinned("wrong"))  # checks that the file stays
    assert f"{path} is damaged: SHA-256 " in capsys.readouterr().out
    assert get(tmp_path, server.pinned()).read_bytes() == BOOK


def test_damaged_first_edition_beside_a_good_second(tmp_path, server):
    (tmp_path / "345-8.txt").write_bytes(b"damaged")
    (tmp_path / "pg345.txt").write_bytes(BOOK)
    assert get(tmp_path, server.pinned("503"), server.current("503")).name == "pg345.txt"
    assert get(tmp_path, server.pinned(), server.current()).name == "345-8.txt"


def test_a_folder_of_the_name_of_the_file_is_no_book(tmp_path, server):
    (tmp_path / "345-8.txt").mkdir()
    with pytest.raises(CorpusUnavailable, match="Three ways to go on"):
        get(tmp_path, server.pinned())
    assert os.listdir(tmp_path) == ["345-8.txt"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_kill_in_the_middle_of_a_download(tmp_path, server):
    code = f"""import sys
from pathlib import Path
from helpers.download import fetch
fetch([{server.pinned("stall")}], Path(sys.argv[1]), "Dracula", check=None)"""
    command = [sys.executable, "-c", code, tmp_path]
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 15
        while not any(part.stat().st_size for part in tmp_path.glob("*.part")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (part,) = tmp_path.glob("*.part")
    finally:
        child.kill()
        child.wait()
    assert not (tmp_path / "345-8.txt").exists()
    assert get(tmp_path, server.pinned()).read_bytes() == BOOK
    assert part.exists()  # it may be another process's, still at work
    os.utime(part, (0, 0))
    (tmp_path / "345-8.txt").unlink()
    get(tmp_path, server.pinned())
    assert [path.name for path in tmp_path.iterdir()] == ["345-8.txt"]
