"""How a text is made plain: Dracula, an address, a novel. No test leaves this machine."""

import re
import unicodedata

import numpy as np
import pytest

from helpers.cleaning import (
    ASTERISKS,
    LETTERS,
    break_lines,
    clean_dracula,
    clean_novel,
    clean_speech,
    read_text,
)
from helpers.corpora import CORPORA, load_corpus

pytestmark = pytest.mark.usefixtures("only_this_machine")
WIDTH = 72
LONG = "It was on a dreary night of November that I beheld the man"  # a line of prose

# --- Dracula ---


def test_dracula_has_the_stated_size(book):
    text = clean_dracula(book.read_bytes().decode("latin-1").replace("\r\n", "\n"))
    assert text == load_corpus("dracula", folder=book.parent)
    assert len(text) == CORPORA["dracula"]["characters"] == 841_924
    assert len(set(text)) == 91
    assert text.startswith(
        "JONATHAN HARKER'S JOURNAL\n\n(_Kept in shorthand._)\n\n_3 May. Bistritz._--Left Munich"
    )
    assert text.endswith('did dare much for her sake."\n\nJONATHAN HARKER.')
    assert not [odd for odd in ("\n\n\n", " \n", "Gutenberg", "Page") if odd in text]


def test_a_modern_edition_cleans_to_the_same_text(tmp_path, book):
    old = book.read_bytes().decode("latin-1")
    new = re.sub(r"(?<![\w.,;:!?'\"-])\"", "“", old)
    for plain, modern in {
        '"': "”",
        "'": "’",
        "--": "—",
        "...": "…",
        "8:35 P. M.": "8:35\u00a0P.\u00a0M.",
        "CHAPTER I\r\n": "  CHAPTER  I.\r\n",
    }.items():
        assert plain in new
        new = new.replace(plain, modern)
    chapters = [f"CHAPTER {number}. Jonathan Harker’s Journal\r\n" for number in ("I", "II")]
    contents = "Contents\r\n\r\n" + "".join(chapters)
    new = "\ufeff" + re.sub(r"CONTENTS.*?(?=\r\nDRACULA\r\n)", contents, new, flags=re.S)
    assert "“" in new and "Page" not in new
    (tmp_path / "pg345.txt").write_bytes(new.encode())
    assert clean_dracula(read_text(tmp_path / "pg345.txt")) == clean_dracula(read_text(book))


@pytest.mark.parametrize(
    "raw",
    ["", "CHAPTER I\n\nJONATHAN HARKER'S JOURNAL\n\nIt was late.", "<html>for her sake</html>"],
)
def test_cleaning_refuses_what_is_not_the_book(raw):
    with pytest.raises(ValueError, match="not Project Gutenberg's Dracula"):
        clean_dracula(raw)


def test_letters_and_asterisks_are_those_of_dracula(book):
    text = clean_dracula(read_text(book))
    assert set(text) == set(LETTERS) and len(LETTERS) == 91
    assert {line for line in text.splitlines() if "*" in line} == {ASTERISKS}


# --- an address ---


@pytest.mark.parametrize("raw, clean", [
    ("[Delivered in person before a joint session]\n\nMr. Speaker:\n", "Mr. Speaker:"),
    ("[Applause] It [as delivered in person] was.", "[Applause] It [as delivered in person] was."),
    ("Señor Martí’s “naïve” façade—œuvre…  \n\n\n\nEnd\u00a0",
     'Senor Marti\'s "naive" facade--oeuvre...\n\nEnd'),
    ("• 50¢ for 3½ or 2⁄3, 4¼ and 5¾", "- 50 cents for 3 1/2 or 2/3, 4 1/4 and 5 3/4"),
])  # fmt: skip
def test_a_speech_is_made_plain(raw, clean):
    assert clean_speech(raw) == clean == clean_speech(clean)


def test_of_a_fraction_the_stroke_is_kept():
    for fraction, plain in {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3"}.items():
        assert re.fullmatch(f"about 4 ?{plain} percent", clean_speech(f"about 4{fraction} percent"))


# --- a novel: where it begins and ends ---


def novel(raw):
    """Clean what stands between two words, and leave these out."""
    text = clean_novel(f"Licence\n\nFIRST\n\n{raw}\n\nLAST\n\nLicence", "FIRST", "LAST")
    assert text.startswith("FIRST\n\n") and text.endswith("\n\nLAST")
    return text[len("FIRST\n\n") : -len("\n\nLAST")]


def test_a_novel_begins_and_ends_with_its_words_whatever_the_spaces():
    raw = "Title\n\n  “I am\n\n born,” he—she  said.\n\nSo be\n it.\n\nTHE END"
    text = '"I am\n\nborn," he--she said.\n\nSo be\nit.'
    assert clean_novel(raw, first='"I am born,"', last="So  be it.") == text


@pytest.mark.parametrize("first, last, problem", [
    ("Once", "end.", "'Once' occurs 0 times"), ("One", "fin.", "'fin.' occurs 0 times"),
    ("on", "end.", "'on' occurs 2 times"), ("One", "night", "'night' occurs 3 times"),
])  # fmt: skip
def test_words_that_do_not_stand_there_once_are_refused(first, last, problem):
    raw = "One night,\non a night\nin May, a night on end."
    assert clean_novel(raw, "One", "end.") == raw
    with pytest.raises(ValueError, match=f"not the novel expected: {problem} in it"):
        clean_novel(raw, first, last)


def test_words_are_no_pattern():
    assert clean_novel("What? (No.) Yes? Well.", "(No.)", "Yes?") == "(No.) Yes?"
    with pytest.raises(ValueError, match="occurs 0 times"):
        clean_novel("What? Yes", "Wh.t", "Yes")


# --- a novel: what is removed and what is changed ---


@pytest.mark.parametrize("raw, clean", [
    ("He came.[1] He saw.[23]", "He came. He saw."),
    ("He came {1}, and saw.{23}", "He came, and saw."),
    ("{p. 12.jpg}\n\nHe {12s.jpg}came.", "He came."),
    ("[He came, [sic] <and> {saw} {1 a}", "(He came, (sic) (and) {saw} {1 a}"),
    ("   He  came.  He   saw.  \n\t He  won.", "He came. He saw.\nHe won."),
    ("He\u00a0came…\u00a0“saw”—con­quered’", "He came... \"saw\"--conquered'"),
    ("ñandú Šárka fête Zoë naïve œdème ﬁn ſea", "nandu Sárka fete Zoë naïve oedème fin sea"),
    ("cafe\u0301 e\u0302tre nin\u0303o x\u0305", "café etre nino x"),
    ("Σωκράτης § 5° | ☾ `x`", "5 x"),
    ("one\n\n\n\n  \n two", "one\n\ntwo"),
])  # fmt: skip
def test_a_novel_is_made_plain(raw, clean):
    assert novel(raw) == clean == novel(clean)


@pytest.mark.parametrize("line", ["*", "* * *", "       *       *", "*****", " *\n* *\n"])
def test_a_line_of_asterisks_is_that_of_dracula(line):
    assert novel(f"{LONG}\n\n{line}\n\n{LONG}") == f"{LONG}\n\n{ASTERISKS}\n\n{LONG}"
    assert novel(f"{line} He came.") != ASTERISKS


def test_verse_and_the_heads_of_letters_keep_their_lines():
    verse = "Denn die Todten\nreiten Schnell."
    head = f"CASTLE DRACULA,\n{LONG}\nMy friend."
    assert novel(f"  {verse}\n\n{head}".replace("\n", "\n    ")) == f"{verse}\n\n{head}"


@pytest.mark.parametrize("length, lines", [(49, 3), (50, 2)])
def test_a_short_line_within_a_paragraph_makes_it_verse(length, lines):
    assert len(novel(f"{LONG}\n{'night' * 10:.{length}}\nended.").splitlines()) == lines


def test_a_word_broken_at_its_hyphen_is_joined():
    raw = f"{LONG} of to-\nnight, and with him came the gentlemen, those of to-\n  morrow--\nor so"
    joined = f"{LONG} of to-night, and with him came the gentlemen, those of to-morrow"
    assert novel(raw.removesuffix("--\nor so")).replace("\n", " ") == joined
    verse = "Of to-\nnight"
    assert novel(verse) == verse


# --- the lines of a paragraph ---


@pytest.mark.parametrize("lines, width, broken", [
    (["one two three"], 7, ["one two", "three"]), (["one two three"], 8, ["one two", "three"]),
    (["one", "two", "three"], 13, ["one two three"]), (["one two three"], 12, ["one two", "three"]),
    (["wait--now"], 9, ["wait--now"]), (["wait--now"], 8, ["wait--", "now"]),
    (["wait--'now"], 8, ["wait--'", "now"]), (["so wait----now"], 8, ["so", "wait----", "now"]),
    (["a well-known man"], 8, ["a", "well-known", "man"]), (["toolong a b"], 3, ["toolong", "a b"]),
    (["a toolong"], 3, ["a", "toolong"]), (["to-", "night"], 20, ["to-night"]),
    (['to-', '"night"'], 20, ['to- "night"']), (["wait--", "now"], 20, ["wait-- now"]),
])  # fmt: skip
def test_lines_are_broken_after_words_and_dashes(lines, width, broken):
    assert break_lines(lines, width) == broken == break_lines(broken, width)


def random_prose(seed, words=400):
    """Return lines of 50 characters and more, with all that prose has in it."""
    rng = np.random.default_rng(seed)
    letters = [each for each in LETTERS if each.isalpha()]
    opened = ["", "", "", '"', "'", "(", "_", "--", '"--']
    closed = ["", "", "", ",", ".", "--", "--'", '"', "...", "!--", "-", "_", ")--", ";"]
    lines = [""]
    for _ in range(words):
        length = 90 if rng.random() < 0.01 else rng.integers(1, 12)
        word = "".join(rng.choice(letters, size=length))
        lines[-1] += rng.choice(opened) + word + rng.choice(closed)
        if len(lines[-1]) >= rng.integers(50, 70):
            lines.append("")
        else:
            lines[-1] += rng.choice([" ", " ", " ", "--", "-"])
    return [line.strip() for line in lines if line]


def pieces_of(line):
    """Return what a line can be broken into."""
    return re.findall(r"(?:(?!--)[^ ])*--+[\"'_)]*|(?:(?!--)[^ ])+", line)


@pytest.mark.parametrize("seed", range(20))
def test_of_prose_no_letter_is_lost_or_added_and_the_lines_are_filled(seed):
    raw = "\n ".join(random_prose(seed)).replace(" ", "  ")
    text = novel(raw)
    assert "".join(text.split()) == "".join(raw.split())
    assert "\n\n" not in text and "  " not in text
    lines = text.splitlines()
    assert len(lines) > 20 and break_lines(lines) == lines
    for line in lines:
        assert line and line == line.strip()
        assert len(line) <= WIDTH or len(pieces_of(line)) == 1, line
    for line, following in zip(lines, lines[1:], strict=False):
        assert len(line) + len(pieces_of(following)[0]) + 1 > WIDTH, line


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [1, 10, 40, 200])
def test_breaking_lines_again_changes_nothing(seed, width):
    lines = break_lines(random_prose(seed), width)
    assert break_lines(lines, width) == lines


def test_of_any_letters_a_novel_keeps_those_of_dracula(random_text):
    letters = "".join(map(chr, range(32, 0x250))) + "\n“”‘’—–…αβγ一二ﬁ"
    letters = "".join(each for each in letters if each not in "{}[]" and each.isprintable())
    text = novel(random_text(letters, 5000))
    assert set(text) <= set(LETTERS)
    plain = [each for each in text if each in "abcdefghijklmnopqrstuvwxyz"]
    assert len(plain) > 1000  # of accented letters, the letter
    assert unicodedata.is_normalized("NFC", text)
