"""Bring in step what is written in more than one place. Run it after a change, or `make sync`.

The pins come from environment.yml and go to requirements.txt. The repository's OWNER/NAME comes
from `repository-code` in CITATION.cff and goes into every link to Binder or to the repository.
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "data/*.md", "notebooks/**/*.ipynb")
PIN = re.compile(r"[A-Za-z0-9._-]+(\[[A-Za-z0-9,._-]+\])?==[0-9][0-9A-Za-z.+!-]*( ; [^#]+)?")

WORD = r"[\w-]+(?:\.(?!git\b)[\w-]+)*"  # neither the full stop of a sentence nor .git
REPOSITORY = rf"{WORD}/{WORD}"
BINDER = re.compile(rf"(?<=mybinder\.org/v2/gh/){REPOSITORY}")
GITHUB = re.compile(rf"(?<=github\.com/){REPOSITORY}|(?<=/github/){REPOSITORY}")
HOME = re.compile(
    rf'(?<=repository-code: "https://github\.com/){REPOSITORY}(?="\s*$)', re.MULTILINE
)
LINK = re.compile(r"""https?://[^\s"'<>()\\]+""")


def pins(environment):
    """Return the lines of the `pip:` part of an environment.yml; complain about any it cannot read.

    This reads the one form that the file has (tests/test_environment.py holds it against a real
    YAML parser), so that the command needs nothing but Python.
    """
    head, found, tail = environment.partition("\n  - pip:\n")
    if not found:
        raise ValueError("environment.yml has no line '  - pip:'")
    result = []
    for line in tail.splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        pin = line.removeprefix("      - ")
        if pin == line or not PIN.fullmatch(pin):
            raise ValueError(f"environment.yml: not '      - NAME==VERSION': {line!r}")
        result.append(pin)
    if not result:
        raise ValueError("environment.yml: nothing below '  - pip:'")
    return result


def requirements(environment):
    """Return what requirements.txt should say."""
    head = "# Made from environment.yml by `make sync`: change versions there.\n"
    return head + "".join(pin + "\n" for pin in pins(environment))


def repository(citation):
    """Return OWNER/NAME from CITATION.cff."""
    found = HOME.findall(citation)
    if len(found) != 1:
        raise ValueError(
            'CITATION.cff needs one line: repository-code: "https://github.com/OWNER/NAME"'
        )
    return found[0]


def pages(root):
    """Return the files that may link to the repository."""
    found = [path for pattern in PAGES for path in sorted(root.glob(pattern))]
    return [path for path in found if ".ipynb_checkpoints" not in path.parts]


def plan(root, new_repository=None):
    """Return {path: text it should have} for every file that is derived, wholly or in part."""
    citation = read(root / "CITATION.cff")
    old = repository(citation)
    target = new_repository or old
    texts = {path: read(path) for path in pages(root)}
    # A link is ours if it goes to Binder, or to a repository of a name that is or was ours.
    ours = {old, target}.union(*(BINDER.findall(text) for text in texts.values()))
    names = {name.partition("/")[2] for name in ours}

    def renamed(match):
        return target if match.group().partition("/")[2] in names else match.group()

    wanted = {path: GITHUB.sub(renamed, BINDER.sub(target, text)) for path, text in texts.items()}
    wanted[root / "CITATION.cff"] = HOME.sub(target, citation)
    wanted[root / "requirements.txt"] = requirements(read(root / "environment.yml"))
    return wanted


def dead_links(root):
    """Return a line for each link into this repository whose file does not exist."""
    mine = repository(read(root / "CITATION.cff"))
    result = []
    for path in pages(root):
        for link in LINK.findall(read(path)):
            if mine not in link:
                continue
            link = unquote(link)
            target = re.search(
                r"(?:lab/tree|(?:blob|tree)/[^/]+)/([^?#&]+)|[=/](notebooks/[^?#&]+)", link
            )
            if target and not (root / (target.group(1) or target.group(2))).exists():
                result.append(f"{path.relative_to(root)}: no such file: {link}")
    return result


def read(path):
    """Return a text with its line ends as they are; "" if there is no file."""
    return path.read_bytes().decode("utf-8") if path.exists() else ""


def main(arguments=None, root=ROOT):
    """Do the work, or with --check only say what is to be done. Return 1 if something is amiss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repository", metavar="OWNER/NAME", help="the repository's new address")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if anything differs"
    )
    options = parser.parse_args(arguments)
    if options.repository and not re.fullmatch(REPOSITORY, options.repository):
        parser.error(f"not OWNER/NAME: {options.repository}")
    try:
        wanted = plan(root, options.repository)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    changed = [path for path, text in wanted.items() if read(path) != text]
    for path in changed:
        print("differs:" if options.check else "rewrote:", path.relative_to(root))
        if not options.check:
            path.write_bytes(wanted[path].encode("utf-8"))
    dead = dead_links(root)
    for line in dead:
        print(line)
    return int(bool(dead or (options.check and changed)))


if __name__ == "__main__":
    sys.exit(main())
