"""The shelf: its list, its download, and what it must not hold. No test leaves this machine."""

import hashlib
import re

import pytest

from helpers import TEXTS, corpora
from helpers.cleaning import ASTERISKS, LETTERS
from helpers.corpora import SHELF, load_corpus, load_novels, load_split, split_tail
from helpers.download import CorpusUnavailable
from tests.server import Handler

pytestmark = pytest.mark.usefixtures("only_this_machine")

# --- the list ---


def test_the_shelf_is_a_list_of_33_books_each_with_all_that_is_needed():
    keys = {"title", "author", "year", "url", "file", "sha256", "first", "last"}
    assert len(SHELF) == 33 and all(set(book) == keys for book in SHELF)
    for book in SHELF:
        assert re.fullmatch(r"[0-9a-f]{64}", book["sha256"]), book["title"]
        address = rf"https://[\w.]+/\w+/[\w.-]+/[0-9a-f]{{40}}/{re.escape(book['file'])}"
        assert re.fullmatch(address, book["url"]), book["title"]
        assert re.fullmatch(r"[\w-]+\.txt", book["file"]), book["title"]
        assert all(book[key] == book[key].strip() != "" for key in keys - {"year"}), book["title"]


@pytest.mark.parametrize("key", ["title", "url", "file", "sha256", "first", "last"])
def test_no_two_books_are_one(key):
    values = [book[key] for book in [*SHELF, *corpora.CORPORA["dracula"]["sources"]] if key in book]
    assert len(values) >= 33 and len(set(values)) == len(values)


def test_the_shelf_is_in_order_of_time_and_ends_with_stoker():
    stoker = [book["author"] == "Bram Stoker" for book in SHELF]
    assert True in stoker and stoker == sorted(stoker)
    order = [(book["author"] == "Bram Stoker", book["year"]) for book in SHELF]
    assert order == sorted(order)
    assert all(1750 < book["year"] < 1927 for book in SHELF)  # in the public domain
    assert "Dracula" not in [book["title"] for book in SHELF]


# --- the download ---

NAMES = ["a", "b", "c", "d"]
STORIES = {name: f'{name}: "So it began," he said.\n\nIt ended with {name}.' for name in NAMES}
FILES = {
    f"{name}.txt": f"Licence\r\n\r\n{story}\r\n\r\nLicence\r\n".replace('"', "“").encode("cp1252")
    for name, story in STORIES.items()
}
WHOLE = "\n\n".join(STORIES.values())


class Librarian(Handler):
    """Serve the stories by the names of their files; some may be out of order."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        answer = self.server.answers.get(name, FILES[name])
        if isinstance(answer, int):
            return self.send_error(answer)
        self.send_response(200)
        self.send_header("Content-Length", str(len(FILES[name])))
        self.end_headers()
        self.wfile.write(answer)


@pytest.fixture
def library(server, monkeypatch):
    """Put four invented novels on the shelf; note in `asked` which are asked for."""
    server.RequestHandlerClass, server.asked, server.answers = Librarian, [], {}
    shelf = [
        {
            "title": f"The Story of {name.upper()}",
            "author": "Bram Stoker" if name in "cd" else "Somebody",
            "url": f"{server.url}/{name}.txt",
            "file": f"{name}.txt",
            "sha256": hashlib.sha256(FILES[f"{name}.txt"]).hexdigest(),
            "first": f"{name}: ",
            "last": f"ended with {name}.",
        }
        for name in NAMES
    ]
    monkeypatch.setattr(corpora, "SHELF", shelf)
    return server


def on_disk(folder):
    """Return the files of a folder and what is in them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_novels_are_downloaded_once_cleaned_and_joined_in_their_order(tmp_path, library):
    assert load_novels(tmp_path / "new") == list(STORIES.values())
    assert library.asked == list(FILES) and on_disk(tmp_path / "new") == FILES
    assert load_novels(tmp_path / "new") == list(STORIES.values())
    assert load_corpus("shelf", folder=tmp_path / "new") == WHOLE
    assert library.asked == list(FILES)  # no more requests


def test_of_one_writer_only_the_novels_are_asked_for(tmp_path, library):
    stories = [STORIES["c"], STORIES["d"]]
    assert load_corpus("stoker", folder=tmp_path) == "\n\n".join(stories)
    assert load_novels(tmp_path, author="Bram Stoker") == stories
    assert library.asked == ["c.txt", "d.txt"] and set(on_disk(tmp_path)) == {"c.txt", "d.txt"}
    library.answers = {"a.txt": 404}
    assert load_novels(tmp_path, author="Nobody") == []
    with pytest.raises(CorpusUnavailable, match="\n0 of 4 novels"):
        load_corpus("shelf", folder=tmp_path)


@pytest.mark.parametrize("kept", range(4))
@pytest.mark.parametrize("answer, phrase", [
    (503, "answered 503"), (b"It beg", "connection broke off"), (b"?" * 60, "something else"),
], ids=["503", "half", "wrong"])  # fmt: skip
def test_after_a_failure_only_what_is_missing_is_asked_for(tmp_path, library, kept, answer, phrase):
    names = list(FILES)
    answer = answer if isinstance(answer, int) else answer.ljust(len(FILES["a.txt"]), b"?")
    library.answers = {names[kept]: answer[:9] if phrase.startswith("conn") else answer}
    with pytest.raises(CorpusUnavailable) as caught:
        load_novels(tmp_path)
    title = f"The Story of {'ABCD'[kept]} could not be downloaded."
    assert str(caught.value).startswith(title) and phrase in str(caught.value)
    assert str(caught.value).endswith(f"\n{kept} of 4 novels are there, and are kept: try again.")
    assert library.asked == names[: kept + 1]
    assert on_disk(tmp_path) == {name: FILES[name] for name in names[:kept]}
    library.answers, library.asked[:] = {}, []
    assert load_novels(tmp_path) == list(STORIES.values()) and library.asked == names[kept:]


@pytest.mark.parametrize("damage", [b"", FILES["c.txt"][:-1], FILES["b.txt"], b"<html>Log in"])
def test_a_damaged_file_is_fetched_again_and_no_other(tmp_path, library, damage, capsys):
    load_novels(tmp_path)
    (tmp_path / "c.txt").write_bytes(damage)
    library.asked.clear()
    assert load_novels(tmp_path) == list(STORIES.values())
    assert library.asked == ["c.txt"] and on_disk(tmp_path) == FILES
    assert f"{tmp_path / 'c.txt'} is damaged" in capsys.readouterr().out


def test_a_novel_that_somebody_brought_along_is_not_asked_for(tmp_path, library):
    (tmp_path / "b.txt").write_bytes(FILES["b.txt"])
    load_novels(tmp_path)
    assert library.asked == ["a.txt", "c.txt", "d.txt"]


# --- the command ---


def test_the_command_fetches_the_shelf_and_says_so(tmp_path, library, capsys):
    line = f"Shelf: 4 novels, all verified; {sum(map(len, STORIES.values()))} characters.\n"
    for _ in range(2):
        assert corpora.main(["shelf"], folder=tmp_path) == 0
        assert capsys.readouterr().out == line
    assert library.asked == list(FILES)


def test_the_command_says_which_novel_is_missing(tmp_path, library, capsys):
    library.answers = {"c.txt": 404}
    assert corpora.main(["shelf", "speeches"], folder=tmp_path) == 1
    said = capsys.readouterr()
    assert "The Story of C could not be downloaded.\n  - 127.0.0.1: answered 404" in said.err
    assert "2 of 4 novels are there, and are kept: try again." in said.err
    assert said.out.startswith("Famous speeches: installed") and "Shelf" not in said.out
    library.answers = {}
    assert corpora.main(["shelf"], folder=tmp_path) == 0


def test_without_names_the_command_leaves_the_shelf_alone(tmp_path, library, monkeypatch, capsys):
    monkeypatch.setitem(corpora.CORPORA["dracula"], "sources", [])
    monkeypatch.setattr(corpora, "_report", lambda name, folder: f"{name} is here")
    assert corpora.main([], folder=tmp_path) == 0
    assert capsys.readouterr().out == "dracula is here\nspeeches is here\n"
    assert library.asked == [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("names, unknown", [
    (["nonsense"], "nonsense"), (["shelf", "nonsense"], "nonsense"), (["b", "a"], "a or b"),
    (["addresses"], "addresses"), (["Shelf"], "Shelf"),
])  # fmt: skip
def test_the_command_knows_no_other_names(tmp_path, library, capsys, names, unknown):
    with pytest.raises(SystemExit) as end:
        corpora.main(names, folder=tmp_path)
    assert end.value.code == 2
    assert f"error: there is no {unknown} to fetch\n" in capsys.readouterr().err
    assert library.asked == []


# --- what is held out ---


@pytest.mark.parametrize("name", ["shelf", "stoker"])
def test_with_novels_goes_the_end_of_what_is_learned_of_dracula(monkeypatch, name):
    texts = {name: "novels", "dracula": "".join(map(chr, range(1000, 2000)))}
    monkeypatch.setattr(corpora, "load_corpus", lambda name, fallback=None: texts[name])
    train, held_out = load_split(name)
    learned, judges = split_tail(texts["dracula"])
    assert (train, held_out) == ("novels", learned[-90:])
    assert set(held_out).isdisjoint(judges)


# --- the novels themselves ---


def shared(judges, text, length=40):
    """Return the stretches of one text that stand in another, those with asterisks aside."""
    judges = judges.replace(ASTERISKS, "\0")
    step = length // 2  # any stretch holds one of these halves whole

    def stretches(length):
        return {judges[i : i + length] for i in range(len(judges) - length + 1)}

    halves, wholes = stretches(step), stretches(length)
    places = [i for i in range(0, len(text), step) if text[i : i + step] in halves]
    around = {j for i in places for j in range(max(0, i - step + 1), i + 1)}
    return {text[j : j + length] for j in around} & wholes


@pytest.fixture(scope="module")
def novels():
    """Hold the shelf as one text; skip the test if it is not here."""
    if missing := [book["file"] for book in SHELF if not (TEXTS / book["file"]).is_file()]:
        pytest.skip(
            f"{len(missing)} novels are not in data/texts/: python -m helpers.corpora shelf"
        )
    return load_corpus("shelf")


@pytest.mark.parametrize("place", [0, 1, 19, 20, 21, 39, 40, 1000])
def test_a_planted_stretch_is_found(place, random_text):
    judges, text = random_text("abcdefgh", 3000, seed=1), random_text("abcdefgh", 3000, seed=2)
    judges = f"{judges[:500]}\n\n{ASTERISKS}\n\n{judges[500:]}"
    assert shared(judges, text) == set()
    for planted, found in ((judges[700:740], 1), (judges[700:739], 0), (judges[60:103], 4)):
        odd = f"{text[:place]}*{planted}*{text[place:]}"
        assert len(shared(judges, odd)) == found
    assert shared(judges, f"{text[:place]}*{judges[700:740]}") == {judges[700:740]}  # the end
    with_asterisks = judges[490 : 502 + len(ASTERISKS) + 20]
    assert ASTERISKS in with_asterisks and shared(judges, text + with_asterisks) == set()


@pytest.mark.slow
def test_the_shelf_is_the_text_that_models_were_trained_on(novels):
    assert len(novels) == 26_616_790
    digest = "6f5ad027902305e4fa3e6b944c11f03b14fc56784389e5a1b267725ca234fa4d"
    assert hashlib.sha256(novels.encode()).hexdigest() == digest


@pytest.mark.slow
def test_the_shelf_is_set_in_the_letters_of_dracula(novels, book):
    assert set(novels) <= set(load_corpus("dracula", folder=book.parent)) == set(LETTERS)
    signs = ["Gutenberg", "gutenberg", "Transcriber", ".jpg", " \n"]
    assert [sign for sign in signs if sign in novels] == []
    assert {line for line in novels.splitlines() if re.fullmatch(r"[ *]+", line)} == {ASTERISKS}


@pytest.mark.slow
def test_nothing_that_judges_a_model_stands_on_the_shelf(novels, book):
    _, judges = split_tail(load_corpus("dracula", folder=book.parent))
    assert shared(judges, novels) == set()
    # In a copy lines may break elsewhere. Then one phrase of 43 characters is shared, which is
    # anybody's: ". It was almost impossible to believe that".
    flat = [" ".join(each.replace(ASTERISKS, "\0").split()) for each in (judges, novels)]
    assert len(shared(*flat)) == 4 and shared(*flat, length=50) == set()
    planted = judges[50_000:50_040]
    assert "*" not in planted
    assert shared(judges, f"{novels[:10_000_003]}*{planted}*{novels[10_000_003:]}") == {planted}
