"""How a text is made plain: quotes, dashes and spaces; where a book begins and where it ends."""

import re
import string
import unicodedata
from functools import cache

PLAIN = str.maketrans({
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": "'", "—": "--", "–": "-", "…": "...",
    "\u00a0": " ", "\ufeff": None, "\u00ad": None, "œ": "oe", "Œ": "Oe",
})  # fmt: skip
# What Dracula is set in: its 91 characters, and the breaks in its chapters.
LETTERS = "\n !\"&'()*,-.0123456789:;?_{}£àáâæèéëïôö" + string.ascii_letters
BRACKETS = str.maketrans("[]<>", "()()")
ASTERISKS = "       *       *       *       *       *"


def read_text(path):
    """Return the text of a file in UTF-8 or Latin-1, or say why it is no text."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no text file {path.resolve()}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # Latin-1, and the curly quotes of Windows
    if odd := re.search("[\x00-\x08\x0e-\x1f\x7f\ufffd]", text):
        raise ValueError(
            f"{path.name} is not plain text (character {odd.start()} is {odd[0]!r}). "
            "Save it as UTF-8."
        )
    if not text.strip():
        raise ValueError(f"{path.name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tidy(text):
    """Make quotes, dashes and spaces plain; leave no trailing space and at most one blank line.

    >>> tidy("I am Dracula…   ")
    'I am Dracula...'
    """
    return re.sub(
        r"\n{3,}", "\n\n", re.sub(r"[ \t]+$", "", text.translate(PLAIN), flags=re.M)
    ).strip()


def clean_dracula(raw):
    r"""Extract the novel from Project Gutenberg's file, and make its characters plain.

    Licence, title pages, contents and advertisement are removed, and so are trailing spaces and all
    but one of several blank lines. Curly quotes become straight, a long dash "--", an ellipsis
    three dots, a non-breaking space a space. Nothing marks what was removed: this cannot be undone.

    Parameters
    ----------
    raw : str
        The edition of 2013 or a later one, with "\n" as line end.

    Returns
    -------
    str
        From "JONATHAN HARKER'S JOURNAL" to the signature "JONATHAN HARKER."; 841,924 characters in
        the edition of 2013.

    Raises
    ------
    ValueError
        If the beginning or the end of the novel is not found.

    Examples
    --------
    >>> raw = "CHAPTER I\n\nJONATHAN HARKER’S JOURNAL\n\n\n… for her sake.”\n\nJONATHAN HARKER.\n"
    >>> print(clean_dracula(raw))
    JONATHAN HARKER'S JOURNAL
    <BLANKLINE>
    ... for her sake."
    <BLANKLINE>
    JONATHAN HARKER.
    """
    novel = r"^ *CHAPTER\s+I\.?\s+(JONATHAN HARKER'S JOURNAL.*for her sake\.\"\s+JONATHAN HARKER\.)"
    found = re.search(novel, tidy(raw), re.M | re.S)  # titles in the contents are in lower case
    if not found:
        raise ValueError(
            "not Project Gutenberg's Dracula: the heading of chapter I or the signature is missing"
        )
    return found[1]


def clean_speech(raw):
    """Make an address plain: printable ASCII and line ends, without the archive's own note.

    >>> clean_speech("[Delivered in person before a joint session] Señor Martí paid 50¢.")
    'Senor Marti paid 50 cents.'
    """
    raw = re.sub(r"\A\[[^\]]*delivered in person[^\]]*\]", "", raw, flags=re.I)
    raw = re.sub(r"(?=[¼½¾⅐-⅞])", " ", raw).replace("•", "-").replace("¢", " cents")
    # Accents are separated from their letters, and ½ becomes 1⁄2.
    plain = unicodedata.normalize("NFKD", tidy(raw)).replace("⁄", "/")
    return plain.encode("ascii", "ignore").decode().strip()


def clean_novel(raw, first, last):
    r"""Extract a novel from Project Gutenberg's file, and set it as *Dracula* is set.

    What stands before the words `first` and after the words `last` is removed, and so are numbers
    of notes, captions of pictures, indentation, a second space between sentences, and accents that
    *Dracula* does not have. Other signs that it does not have vanish ("3½" becomes "312", "1/2"
    "12"; there are a dozen on the shelf). A paragraph whose lines, but for the last, all have 50
    characters or more is prose, and is broken into lines of at most 72; verse, lists and the heads
    of letters keep their lines.

    Parameters
    ----------
    raw : str
        With "\n" as line end.
    first, last : str
        Words that occur once in the tidy text, perhaps with other spaces and line ends in between.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the words are not found, or more than once.

    Examples
    --------
    >>> raw = "A NOVEL\n\n  “Well,”\n he said.  “So be  it.”[1]\n\nTHE END\n\n[1] Sic."
    >>> print(clean_novel(raw, '"Well,"', 'So be it."'))
    "Well," he said. "So be it."
    """
    # Captions of pictures, and the numbers of notes in two styles.
    text = re.sub(r"\{[^{}]*\.jpg\}|\[\d+\]|\s?\{\d+\}", "", tidy(raw))
    start, stop = _place(text, first).start(), _place(text, last).end()
    if stop <= start:
        raise ValueError(f"not the novel expected: {last!r} stands before {first!r}")
    text = text[start:stop]
    paragraphs = (_set_paragraph(each) for each in re.split(r"\n\s*\n", text) if each.strip())
    return "\n\n".join(paragraphs)


def _place(text, words):
    """Find the one place in a text where words stand."""
    found = list(re.finditer(r"\s+".join(map(re.escape, words.split())), text))
    if len(found) != 1:
        raise ValueError(f"not the novel expected: {words!r} occurs {len(found)} times in it")
    return found[0]


def _set_paragraph(paragraph):
    """Return a paragraph of a novel as *Dracula* has them."""
    if re.fullmatch(r"[\s*]*\*[\s*]*", paragraph):
        return ASTERISKS
    letters = unicodedata.normalize("NFC", paragraph).translate(BRACKETS)
    plain = letters.translate({ord(each): _without_accent(each) for each in set(letters)})
    lines = [re.sub(r"\s+", " ", line).strip() for line in plain.splitlines()]
    lines = [line for line in lines if line]
    prose = all(len(line) >= 50 for line in lines[:-1])
    return "\n".join(break_lines(lines) if prose else lines)


@cache
def _without_accent(letter):
    """Return a letter as it is if *Dracula* has it, or without its accent, or nothing."""
    plain = letter if letter in LETTERS else unicodedata.normalize("NFKD", letter)
    return "".join(each for each in plain if each in LETTERS)


def break_lines(lines, width=72):
    """Break the lines of a paragraph anew: after a word or a dash, none longer than `width`.

    Only a word that is longer stays whole. A hyphen before a space is taken for a word broken at
    the end of a line, so "two- or three" is joined, too.

    >>> break_lines(["The castle of the", "Count--to-", "night"], width=12)
    ['The castle', 'of the', 'Count--', 'to-night']
    """
    paragraph = re.sub(r"(?<=\w-) (?=\w)", "", " ".join(lines))  # a word broken at its hyphen
    broken = [""]
    for space, piece in re.findall(r"( ?)((?:(?!--)[^ ])*(?:--+[\"'_)]*|(?= |$)))", paragraph):
        longer = broken[-1] + (space if broken[-1] else "") + piece
        if len(longer) <= width or not broken[-1]:
            broken[-1] = longer
        elif piece:
            broken.append(piece)
    return broken
