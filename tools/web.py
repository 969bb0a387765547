"""What the slides and the PDF share: packages from npm, a browser, notebooks as they are read."""

import base64
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
NOTEBOOKS = ROOT / "notebooks"
DOCS = ROOT / "docs"

# The newest reveal.js that nbconvert's template knows, and MathJax as one file that loads no other.
PACKAGES = {
    "reveal.js": {
        "version": "4.6.1",
        "sha512": "1CW0auaXNPmwmvQ7TwpszwVxMi2Xr5cTS3J3EBC/HHgbPF32Dn7aiu/LKWDO"
        "GjMbaDwKQiGmfqcoGQ74HUHCMw==",
        "files": r"LICENSE|dist/reveal\.(css|js)|plugin/notes/notes\.js"
        r"|dist/theme/fonts/source-sans-pro/(LICENSE|.*\.(css|woff))",
    },
    "mathjax": {
        "version": "3.2.2",
        "sha512": "Bt+SSVU8eBG27zChVewOicYs7Xsdt40qm4+UpHyX7k0/O9NliPc+x77k1/FE"
        "sPsjKPZGJvtRZM1vO+geW0OhGw==",
        "files": r"LICENSE|es5/tex-svg-full\.js",
    },
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# It has nobody to protect from the course's own pages, and nothing to look up elsewhere.
FLAGS = "no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"


class Missing(Exception):
    """Something that is not part of the course is not on this machine; the text says what helps."""


def digest(path):
    """Return the SHA-512 of a file as npm writes it."""
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def fetch(name, cache):
    """Return the archive of a package from npm, downloaded once and verified at each reading."""
    version = PACKAGES[name]["version"]
    archive = cache / f"{name}-{version}.tgz"
    if not archive.is_file():
        npm = shutil.which("npm")
        if npm is None:
            raise Missing(
                f"npm is missing: it downloads {name} once. It comes with Node.js "
                "(https://nodejs.org, or `apt install npm`)."
            )
        cache.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", f"{name}@{version}", "--fetch-retries=1", "--loglevel=error"]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True)
        if done.returncode or not archive.is_file():
            why = (done.stderr.strip() or "no reason given").splitlines()[0]
            raise Missing(
                f"npm could not download {name} {version} ({why}). This needs a network, once; "
                f"or put {archive.name} into {cache}."
            )
    if digest(archive) != PACKAGES[name]["sha512"]:
        raise Missing(f"{archive} is not what was published. Delete it, and run this again.")
    return archive


def prepare(folder, cache=BUILD / "npm"):
    """Make a folder anew that holds what is used of reveal.js and MathJax."""
    archives = {name: fetch(name, cache) for name in PACKAGES}
    if folder.exists():
        shutil.rmtree(folder)
    for name, archive in archives.items():
        with tarfile.open(archive) as opened:
            for member in opened:
                path = member.name.partition("/")[2]  # below package/
                if member.isfile() and re.fullmatch(PACKAGES[name]["files"], path):
                    target = folder / name / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(opened.extractfile(member).read())


def find_browser(own=""):
    """Return the path of a Chromium: the one in CHROMIUM, the system's, or playwright's own."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, BROWSERS), own]
    path = next((path for path in found if path and Path(path).exists()), None)
    if path is None:
        raise Missing(
            "No Chromium was found. Install your system's package, or the tests' own browser with "
            "`python -m playwright install --with-deps chromium`, or say where one is in CHROMIUM."
        )
    return path


@contextlib.contextmanager
def open_browser():
    """Open a browser without a window, and close it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise Missing(
            "playwright is missing: python -m pip install --require-hashes "
            "-r tests/requirements.txt"
        ) from None
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        flags = [f"--{flag}" for flag in FLAGS.split()]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def numbered():
    """Return the paths of the notebooks, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def read(path):
    """Read a notebook that was run, without outputs that say nothing on paper or on a wall."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if any(cell.source.strip() and cell.execution_count is None for cell in code):
        raise Missing(f"{path.name} was not run to its end: make outputs NOTEBOOKS={path.name}")
    for cell in code:
        exercise = "exercise" in cell.metadata.get("tags", [])
        cell.outputs = [] if exercise else [out for out in cell.outputs if says_something(out)]
    return notebook


def says_something(output):
    """Whether an output is more than the name of a slider; bars of progress are cut out of it."""
    if output.output_type == "stream":
        output.text = re.sub(r"(?m)^.*\d%\|.*\|.*\n?", "", output.text)
        return bool(output.text.strip())
    silent = {"text/plain", "application/javascript"}  # the script names sliders
    return output.output_type == "error" or not set(output.data) <= silent


def relink(source, address):
    """Return Markdown whose links to files are replaced; address(target) "" leaves the text."""

    def replace(match):
        label, target = match.groups()
        if re.match(r"https?:|#", target):
            return match[0]
        return f"[{label}]({new})" if (new := address(target)) else label

    return re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", replace, source)


def exporter(kind, template, **options):
    """Return an exporter of nbconvert with a template of docs/, and code in colours."""
    import nbconvert
    from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor

    result = getattr(nbconvert, kind)(
        raw_template=(DOCS / template).read_text("utf-8"),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        **options,
    )
    result.register_preprocessor(CSSHTMLHeaderPreprocessor(style="default"), enabled=True)
    return result


def finish(main):
    """Run a command; what is missing, or cannot be written, ends it with a plain sentence."""
    try:
        main()
    except Missing as missing:
        sys.exit(str(missing))
    except OSError as error:
        sys.exit(f"{error.filename or BUILD}: {error.strerror or error}")
