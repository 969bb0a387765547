"""Bring the repository's address in step: python -m tools.links, or `make links`.

OWNER/NAME is read from `repository-code` in CITATION.cff and goes into every link to Binder or to
the repository. Links into the repository to files that do not exist are reported.
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "data/**/*.md", "notebooks/**/*.ipynb")

WORD = r"[\w-]+(?:\.(?!git\b)[\w-]+)*"  # neither the full stop of a sentence nor .git
REPOSITORY = rf"{WORD}/{WORD}"
BINDER = re.compile(rf"(?<=mybinder\.org/v2/gh/){REPOSITORY}")
GITHUB = re.compile(rf"(?<=github\.com/){REPOSITORY}|(?<=/github/){REPOSITORY}")
HOME = re.compile(
    rf'(?<=repository-code: "https://github\.com/){REPOSITORY}(?="\s*$)', re.MULTILINE
)
LINK = re.compile(r"""https?://[^\s"'<>()\\]+""")


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
    """Return {path: text it should have} for every file that holds the address."""
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
            if not target:
                continue
            # On a hub, where nbgitpuller puts a copy, the path begins with the repository's name.
            file = (target.group(1) or target.group(2)).removeprefix(mine.split("/")[1] + "/")
            if not (root / file).exists():
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
