"""Fixtures that several test files share.

TensorFlow is imported inside them: it takes seconds, and most tests do without it.
"""

import socket
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import TEXTS
from helpers.corpora import CORPORA
from tests.server import Server
from tests.small_model import SmallModel
from tools import web


@pytest.fixture(scope="session")
def book():
    """Return the file of Dracula as it was published; skip the test if it is not here."""
    path = TEXTS / CORPORA["dracula"]["sources"][0]["file"]
    if not path.is_file():
        pytest.skip("Dracula is not in data/texts/: make data")
    return path


@pytest.fixture(scope="session")
def random_text():
    """Return a function that draws a text from some letters."""

    def draw(letters, length, seed=0):
        return "".join(np.random.default_rng(seed).choice(list(letters), size=length))

    return draw


@pytest.fixture(scope="session")
def browser():
    """Hold a browser; without one the tests that ask for it fail, and say what to do."""
    try:
        with web.open_browser() as browser:
            yield browser
    except web.Missing as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def small_model(tmp_path):
    """Write a small sound model to a folder."""
    return SmallModel(tmp_path / "model")


@pytest.fixture
def server():
    """Serve a short Dracula on this machine."""
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def only_this_machine(monkeypatch):
    """Forget the proxies of whoever runs the tests, and fail at any connection to elsewhere."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    look_up = socket.getaddrinfo

    def guarded(host, *args, **kwargs):
        if host in ("127.0.0.1", "localhost"):
            return look_up(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


# --- training runs ---


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Hold a finished run, which tests leave as it is: its folder, history and model."""
    from tests.runs import train

    folder = tmp_path_factory.mktemp("finished")
    return folder, *train(folder)


@pytest.fixture(scope="session")
def whole(finished):
    """Hold a run without a break: history and model."""
    return finished[1:]


@pytest.fixture(scope="session")
def thinned():
    """Hold a run that dropped recurrent weights."""
    from tests.runs import train

    return train(weight_dropout=0.3)


@pytest.fixture(scope="session")
def best(tmp_path_factory):
    """Hold a finished run that kept its best weights, which tests leave as it is."""
    from tests.runs import OVERFIT, train

    folder = tmp_path_factory.mktemp("best")
    return folder, *train(folder, **OVERFIT)


@pytest.fixture
def idle(monkeypatch):
    """Make training steps that change nothing and take one second each, on a clock of their own.

    For tests of the loop around the steps: nothing is compiled, and no real clock is read.
    """
    clock = SimpleNamespace(now=0.0)

    def step(inputs, targets, state):
        clock.now += 1
        return np.log(2), *state  # a loss of one bit

    monkeypatch.setattr("helpers.training.make_train_step", lambda *arguments: step)
    time = SimpleNamespace(perf_counter=lambda: clock.now)
    monkeypatch.setattr("helpers.runs.time", time)
    return clock
