"""What the repository promises to those who install or open it: Binder, `make lab`, a tidy source."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tools import links

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent  # of the environment that runs the tests


def tool(name):
    """Return the path of a command of this environment, or skip the test."""
    path = shutil.which(name, path=str(BIN))
    if not path:
        pytest.skip(
            f"{name} is not installed here: python -m pip install -r tests/requirements.txt"
        )
    return path


def test_binder_builds_from_the_pins():
    run = subprocess.run(
        [tool("jupyter-repo2docker"), "--no-build", "--debug", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    recipe = run.stdout + run.stderr
    assert run.returncode == 0, recipe
    assert "Building conda environment for python=3.11" in recipe
    assert "unspecified" not in recipe
    # The recipe copies this very file and installs from it; that the pins can be installed is tried elsewhere.
    assert "src/environment.yml ${REPO_DIR}/environment.yml" in recipe
    assert re.search(r'env update .*--file "environment\.yml"', recipe)
    assert "RUN ./postBuild" in recipe
    assert os.access(ROOT / "postBuild", os.X_OK)
    assert not (ROOT / "binder").exists() and not (ROOT / ".binder").exists(), (
        "they would hide environment.yml"
    )


def test_a_yaml_parser_reads_the_same_pins():
    yaml = pytest.importorskip(
        "ruamel.yaml", reason="ruamel.yaml comes with tests/requirements.txt"
    ).YAML(typ="safe")
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    *plain, last = yaml.load(text)["dependencies"]
    assert plain == ["python=3.11", "pip"]
    assert last == {"pip": links.pins(text)}


def test_every_platform_gets_one_tensorflow():
    packaging = pytest.importorskip("packaging.requirements")
    pins = [
        packaging.Requirement(pin)
        for pin in links.pins((ROOT / "environment.yml").read_text(encoding="utf-8"))
    ]
    builds = {
        ("linux", "x86_64"): "tensorflow-cpu",
        ("linux", "aarch64"): "tensorflow",
        ("darwin", "arm64"): "tensorflow",
    }
    builds[("win32", "AMD64")] = "tensorflow"
    for (system, machine), name in builds.items():
        here = {"sys_platform": system, "platform_machine": machine}
        chosen = [pin.name for pin in pins if pin.marker is None or pin.marker.evaluate(here)]
        assert [pin for pin in chosen if pin.startswith("tensorflow")] == [name]


def test_make_lab_serves_the_course():
    make = shutil.which("make") or pytest.skip("make is not installed here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    more = f"--no-browser --ip=127.0.0.1 --port={port} --IdentityProvider.token=abc"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        more += " --allow-root"
    recipe = subprocess.run(
        [make, "--dry-run", "lab", f"LAB_ARGS={more}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    program, *arguments = next(
        shlex.split(line) for line in recipe.splitlines() if "jupyter lab" in line
    )
    server = subprocess.Popen(
        [tool(Path(program).name), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for page in ("api/status", "lab", "api/contents/notebooks?content=0"):
            assert answer(f"http://127.0.0.1:{port}/{page}", server) == 200
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/contents", timeout=10)
    finally:
        server.send_signal(signal.SIGTERM)
        log = server.communicate(timeout=20)[0]
    assert "Traceback" not in log, log


def answer(address, server, patience=30):
    """Return the status with which the server answers, once it does."""
    request = urllib.request.Request(address, headers={"Authorization": "token abc"})
    for _ in range(patience * 4):
        assert server.poll() is None, server.stdout.read()
        try:
            return urllib.request.urlopen(request, timeout=10).status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            time.sleep(0.25)
    return None


def test_the_source_is_tidy():
    run = subprocess.run(
        [tool("ruff"), "check", "--output-format=concise", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
