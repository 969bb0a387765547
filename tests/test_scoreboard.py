"""The table of bits per character, and the command that prints it."""

import math
import sys
from types import SimpleNamespace

import pytest

from helpers import corpora, scoreboard
from helpers.baselines import baselines
from helpers.corpora import split_tail
from helpers.scoreboard import table
from helpers.text import Vocabulary


def test_table_is_sorted_aligned_and_stable():
    rows = {"b": 2.151, "PPMd, order 8": 1.9243, "a": 2.149, "uniform": 16.5}
    assert table(rows).split("\n") == [
        "| model           | bits per character |",
        "|:----------------|-------------------:|",
        "| uniform         |              16.50 |",
        "| b               |               2.15 |",
        "| a               |               2.15 |",
        "| PPMd, order 8 * |               1.92 |",
    ]
    rows = table({"a": 2.149, "b": 2.151}).split("\n")[2:]
    assert [row[2] for row in rows] == ["a", "b"]
    assert len(table({}).split("\n")) == 2


def test_table_sorts_by_the_last_column_and_leaves_unmeasured_cells_empty():
    more = {"xz": 1.6, "LSTM": 1.7, "b": 0.0}
    lines = table({"a": 1.5, "xz": 2.4}, {"after more": more}).split("\n")
    # xz is ahead of the LSTM in the only column that both have.
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["LSTM", "xz *", "a", "b"]
    assert lines[0].endswith("| after more |") and len(set(map(len, lines))) == 1
    assert lines[2].split("|")[2].strip() == "" and lines[5].split("|")[3].strip() == "0.00"


def test_a_star_marks_compressors_only():
    names = ["zpaq, method 5", "PPMd, order 8", "gzip (zlib)", "xz", "bz2", "xz-like", "model bz2"]
    starred = [
        line.split("|")[1].strip() for line in table(dict.fromkeys(names, 1.0)).split("\n")[2:]
    ]
    assert [name for name in starred if name.endswith("*")] == [f"{name} *" for name in names[:5]]


def test_measured_rivals_are_those_of_this_very_text(monkeypatch, tmp_path):
    digests, rows = [scoreboard.sha256("abc"), scoreboard.sha256("d")], {"zpaq, method 5": 1.5}
    known = {"sha256": digests, "alone": rows, "after reading": {"zpaq, method 5": 1.25}}
    text = scoreboard.json.dumps({"bits_per_char": {"dracula": known}})
    (tmp_path / "rivals.json").write_text(text)
    monkeypatch.setattr(scoreboard, "DATA", tmp_path)
    assert scoreboard.measured_rivals("abc", "d") == (rows, {"zpaq, method 5": 1.25})
    assert scoreboard.measured_rivals("abc", "e") == ({}, {})
    assert scoreboard.measured_rivals("ab", "cd") == ({}, {})  # another cut of the same text


@pytest.fixture
def corpus(monkeypatch, tmp_path, random_text):
    """Stand in for a corpus, and for models that fare as their names say."""
    text, calls = random_text("abcdefgh", 2000), []

    def load_model(folder):
        if folder.name == "damaged":
            raise ValueError("model.npz is damaged")
        if folder.name == "locked":
            raise PermissionError(13, "Permission denied", "model.npz")
        if folder.name == "mistake":
            raise TypeError("a mistake in our code")
        return folder.name, Vocabulary("abcdefg" if folder.name == "narrow" else "abcdefgh")

    def bits_per_char(model, ids, context=()):
        calls.append((model, ids, context))
        return {"good": 1.25, "fond": 1.125, "broken": math.nan}[model]

    models = SimpleNamespace(load_model=load_model)
    evaluation = SimpleNamespace(bits_per_char=bits_per_char)
    monkeypatch.setitem(sys.modules, "helpers.models", models)
    monkeypatch.setitem(sys.modules, "helpers.evaluation", evaluation)
    monkeypatch.setattr(corpora, "load_corpus", lambda name, fallback=None: text)
    monkeypatch.setattr(scoreboard, "MODELS", tmp_path)
    monkeypatch.setattr(scoreboard, "has_read_more", lambda folder, corpus: folder.name == "fond")
    return SimpleNamespace(text=text, folder=tmp_path, calls=calls)


def test_command_prints_the_baselines(corpus, capsys, monkeypatch):
    asked = []

    def load(name, fallback=None):
        asked.append((name, fallback))
        return "other text" if name == "speeches" else corpus.text

    monkeypatch.setattr(corpora, "load_corpus", load)
    scoreboard.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "200 held-out characters, 1,800 characters to learn from:"
    assert "\n".join(lines[2:]) == table(baselines(*split_tail(corpus.text)))
    scoreboard.main(["--corpus", "my.txt", "--fallback", "speeches"])
    assert asked[:2] == [("dracula", None), ("my.txt", "speeches")]


def place(corpus, *names):
    for name in names:
        (corpus.folder / name).mkdir()
        if name != "no_model":
            (corpus.folder / name / "model.npz").write_bytes(b"")


def test_command_adds_a_row_for_each_model_and_a_line_for_each_that_fails(corpus, capsys):
    place(corpus, "good", "narrow", "damaged", "broken", "locked", "no_model")
    scoreboard.main([])
    out = capsys.readouterr().out
    assert "| model good        |               1.25 |" in out
    assert out.splitlines()[-4:] == [
        "No row for the model broken: its bits per character come out as nan",
        "No row for the model damaged: model.npz is damaged",
        "No row for the model locked: [Errno 13] Permission denied: 'model.npz'",
        "No row for the model narrow: its vocabulary lacks 'h'",
    ]
    assert "no_model" not in out
    _, ids, context = next(call for call in corpus.calls if call[0] == "good")
    decode = Vocabulary("abcdefgh").decode
    assert decode(ids) == corpus.text[1800:]
    assert len(context) and corpus.text[:1800].endswith(decode(context))


def test_command_shows_apart_what_has_read_more(corpus, capsys):
    place(corpus, "good", "fond")
    scoreboard.main([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].endswith("| bits per character | read more before |")
    good, fond = (
        next(line for line in lines if f"model {name}" in line) for name in ("good", "fond")
    )
    assert good.split("|")[2:4] == ["               1.25 ", " " * 18]
    assert fond.split("|")[2:4] == [" " * 20, "             1.12 "]


def test_what_a_model_has_read_is_on_its_card(monkeypatch):
    def has_read_more(config, corpus="dracula"):
        monkeypatch.setattr(scoreboard, "read_model", lambda folder: (config, {}))
        return scoreboard.has_read_more("any", corpus)

    assert not has_read_more({"corpus": "dracula"}) and not has_read_more({})
    assert has_read_more({"corpus": "dracula", "read_before": [{"corpus": "shelf"}]})
    assert has_read_more({"corpus": "dracula"}, corpus="speeches")


def test_command_hides_no_mistake_of_ours(corpus):
    place(corpus, "mistake")
    with pytest.raises(TypeError, match="a mistake in our code"):
        scoreboard.main([])


def test_command_scores_a_model_that_was_really_saved(monkeypatch, tmp_path, capsys, random_text):
    from helpers.models import build_char_model, save_model

    model = build_char_model(vocab_size=8, hidden_size=4, embedding_size=4)
    for name in ("tiny", "torn"):
        save_model(model, Vocabulary("abcdefgh"), tmp_path / name)
    weights = tmp_path / "torn" / "model.npz"
    weights.write_bytes(weights.read_bytes()[:500])
    text = random_text("abcdefgh", 2000)
    monkeypatch.setattr(corpora, "load_corpus", lambda name, fallback=None: text)
    monkeypatch.setattr(scoreboard, "MODELS", tmp_path)
    scoreboard.main([])
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("| model tiny"))
    # Untrained, so about the logarithm of the alphabet.
    assert float(row.split("|")[2]) == pytest.approx(3, abs=1)
    assert lines[-1].startswith("No row for the model torn: ") and "damaged" in lines[-1]


def test_command_says_what_is_wrong_with_the_corpus(corpus, capsys, monkeypatch):
    def unavailable(name, fallback=None):
        raise OSError("Dracula is not here. Three ways to go on: ...")

    for load_corpus, message in [
        (unavailable, "Three ways to go on"),
        (lambda *a, **k: "ab", "cannot be split"),
    ]:
        monkeypatch.setattr(corpora, "load_corpus", load_corpus)
        with pytest.raises(SystemExit) as end:
            scoreboard.main([])
        assert end.value.code == 1
        captured = capsys.readouterr()
        assert message in captured.err and not captured.out
