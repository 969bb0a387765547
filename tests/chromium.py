"""A browser for the tests that need one."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = (
    "No Chromium was found. Install your system's package, or the tests' own browser with "
    "`python -m playwright install --with-deps chromium`, or say where one is in CHROMIUM."
)
# It has nobody to protect from the course's own pages, and nothing to look up elsewhere.
FLAGS = "no-sandbox disable-gpu no-first-run disable-background-networking disable-component-update"


def find_chromium(own):
    """Return the path of a Chromium: the one in CHROMIUM, the system's, or playwright's own."""
    found = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), own]
    return next((path for path in found if path and Path(path).exists()), None)


@contextmanager
def chromium():
    """Start a browser; without one the tests that ask for it fail, and say what to do."""
    with sync_playwright() as playwright:
        path = find_chromium(playwright.chromium.executable_path)
        if path is None:
            pytest.fail(MISSING, pytrace=False)
        flags = [f"--{flag}" for flag in FLAGS.split()]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()
