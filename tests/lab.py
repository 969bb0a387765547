"""JupyterLab, started as README says, and a reader in front of it."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sysconfig.get_path("scripts"))  # of the environment that runs the tests
TOKEN = "abc"
NOTEBOOK = "window.jupyterapp.shell.currentWidget"
# Cell k has a number in brackets, and not the one it had before; nothing runs or waits.
DONE = f"""([k, before]) => {{
  const {{content, sessionContext}} = {NOTEBOOK};
  const count = content.widgets[k].model.executionCount;
  return count !== null && count !== before &&
    sessionContext.session?.kernel?.status === "idle" &&
    content.widgets.every(cell => cell.model.executionState !== "running");
}}"""


def tool(name, folder=str(BIN)):
    """Return the path of a command; where it is missing, nothing may pass as tested."""
    path = shutil.which(name, path=folder)
    assert path, f"{name} is missing: `make check` installs all that the tests need"
    return path


@contextmanager
def serve(folder, *options):
    """Start JupyterLab in a folder as `make lab` does; yield its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = ["--no-browser", "--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        more.append("--allow-root")
    recipe = subprocess.run(
        [tool("make", None), "--dry-run", "lab", f"LAB_ARGS={shlex.join([*more, *options])}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    line = re.search(r"^\S+/jupyter lab .*", recipe, re.MULTILINE)[0]
    program, *arguments = shlex.split(line)
    command = [tool(Path(program).name), *arguments]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:  # a pipe that is full would block
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            answer(f"{address}/api/status")
            yield address
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=20)
            log.seek(0)
            written = log.read()
    assert "Traceback" not in written, written


def answer(address, patience=30):
    """Return what the server answers, once it does."""
    request = urllib.request.Request(address, headers={"Authorization": f"token {TOKEN}"})
    for _ in range(patience * 4):
        try:
            return urllib.request.urlopen(request, timeout=10).read().decode("utf-8")
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(0.25)
    raise TimeoutError(address)


class Notebook:
    """A notebook that is open in JupyterLab, and what a reader does with it.

    The page needs --LabApp.expose_app_in_browser=True: a cell out of sight is not on the page.
    """

    def __init__(self, page, address, path):
        self.page = page
        page.goto(f"{address}/lab/tree/{path}?reset&token={TOKEN}")
        ready = f"() => window.jupyterapp && {NOTEBOOK}?.sessionContext?.session?.kernel"
        page.wait_for_function(f"{ready}?.status === 'idle'", timeout=60_000)

    def run(self, number, start):
        """Call what starts cells, the first of them `number`, and wait until nothing runs."""
        before = self.count(number)
        start()
        self.page.wait_for_function(DONE, arg=[number, before], timeout=300_000)

    def ask(self, question, *values):
        """Return what a JavaScript function of the notebook and these values returns."""
        return self.page.evaluate(f"values => ({question})({NOTEBOOK}.content, ...values)", values)

    def choose(self, menu, item):
        """Choose an item of a menu."""
        self.page.get_by_role("menuitem", name=menu, exact=True).click()
        self.page.get_by_role("menuitem", name=item, exact=True).click()

    def select(self, number):
        """Make a cell the selected one, and return its place on the page."""
        self.ask("(book, k) => { book.activeCellIndex = k; book.mode = 'command' }", number)
        cell = self.page.locator(".jp-Notebook .jp-Cell.jp-mod-active")
        cell.scroll_into_view_if_needed()
        return cell

    def outputs(self, number):
        """Return what a cell shows, as it would be stored."""
        return self.ask("(book, k) => book.widgets[k].model.outputs.toJSON()", number)

    def count(self, number):
        """Return the number in brackets beside a cell, None if it did not run."""
        return self.ask("(book, k) => book.widgets[k].model.executionCount", number)
