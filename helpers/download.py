"""Download a file once, verify it at each use, and say in plain words why that did not work."""

import re
from urllib.parse import urlsplit

from helpers.storage import replacing, sha256

TIMEOUT = (6, 20)  # seconds for the connection, and for the next bytes of a stalled server


class CorpusUnavailable(OSError):
    """A text is not on this machine and cannot be downloaded; the message says why."""


def fetch(sources, folder, title, check, timeout=TIMEOUT):
    """Return the path of a verified file in a folder; download it if need be.

    Parameters
    ----------
    sources : list of dict
        `url` and `file`, with `sha256` if the publisher never changes the file; perhaps a `note`
        that is printed whenever the file is used. Tried in this order.
    folder : Path
    title : str
        What the file is, for messages.
    check : callable
        Gets a path and a source without digest; returns what is wrong with the file, or "".
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes.

    Returns
    -------
    Path
        The file as published. It is never half-written, and replaced only by a good one.

    Raises
    ------
    CorpusUnavailable
        If no source delivers; says what went wrong with each.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.txt").write_text("a")
    >>> source = {"url": "https://example.org/a.txt", "file": "a.txt", "sha256": sha256(b"a")}
    >>> fetch([source], folder, "The letter a", check=None).name
    'a.txt'
    """
    failures = []
    there = next((source for source in sources if (folder / source["file"]).exists()), None)
    if there and (problem := problem_with(folder / there["file"], there, check)):
        print(f"{folder / there['file']} is damaged: {problem}. Downloading it again.")
    elif there:
        sources = [there]  # any edition that is there will do: a class may have no network
    for source in sources:
        path = folder / source["file"]
        try:
            if problem_with(path, source, check):
                download(source, path, check, timeout)
            if "note" in source:
                print(source["note"])
            return path
        except (OSError, ValueError) as error:
            failures.append(f"  - {urlsplit(source['url']).hostname}: {explain(error)}")
    raise CorpusUnavailable("\n".join([f"{title} could not be downloaded.", *failures]))


def problem_with(path, source, check):
    """Say in a phrase why the file at `path` is not what `source` should deliver; "" if it is."""
    try:
        data = path.read_bytes()
        if re.match(rb"\s*<(!doctype|html)", data, re.I):
            return "a web page, perhaps the login page of this network"
        if "sha256" in source:
            found, expected = sha256(data), source["sha256"]
            return "" if found == expected else f"SHA-256 {found[:12]}..., not {expected[:12]}..."
        return check(path, source)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except ValueError as error:
        return str(error)


def download(source, path, check, timeout):
    """Download a file, verify it, and only then give it its name."""
    import pooch  # here, because it takes a while

    # Not pooch.retrieve: it compares digests only, and one of our sources has none.
    with replacing(path) as temporary:
        pooch.HTTPDownloader(progressbar=True, timeout=timeout)(source["url"], str(temporary), None)
        if problem := problem_with(temporary, source, check):
            raise ValueError(f"sent something else ({problem})")


def explain(error):
    """Say in a phrase why a download failed, without its chain of exceptions."""
    text = str(error)
    if getattr(error, "response", None) is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if refusal := re.search(r"Tunnel connection failed: (\d+ [\w ]+)", text):
        return f"the proxy answered {refusal[1]}"
    reasons = {
        "esol": "host name not found; is there a network?",  # "failed to resolve", "resolution"
        "timed out": "no answer in time",
        "refused": "connection refused",
        "IncompleteRead|reset|aborted": "the connection broke off",
        "CERTIFICATE": "its certificate cannot be verified",
    }
    for sign, reason in reasons.items():
        if re.search(sign, text):
            return reason
    return f"{error.strerror}: {error.filename}" if getattr(error, "filename", None) else text
