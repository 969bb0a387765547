"""TensorFlow and Keras without the start-up log, for `from helpers.backend import keras, tf`."""

import os
import subprocess
import sys
from contextlib import contextmanager

# Reads what TensorFlow writes while it starts. The last byte says that all went well; if it is
# missing, because the import failed or the process died, everything is passed on.
LISTENER = """
import sys
written = sys.stdin.buffer.read()
if not written.endswith(b"\\0"):
    sys.stderr.buffer.write(written)
"""


@contextmanager
def _startup_log_held_back():
    """Hold back TensorFlow's start-up log, and show it only if the block fails.

    The log cannot be switched off. A separate process holds it, so that it survives a native crash.
    """
    # In a notebook, file 2 leads to the cell; if the kernel dies, only the terminal is left.
    terminal = getattr(sys.stderr, "_original_stdstream_copy", None) or 2
    # A session of its own, so that Ctrl-C interrupts the import and not the listener.
    listener = subprocess.Popen(
        [sys.executable, "-S", "-c", LISTENER],
        stdin=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
    )
    usual = os.dup(2)
    os.dup2(listener.stdin.fileno(), 2)
    try:
        yield
        os.write(2, b"\0")
    finally:
        os.dup2(usual, 2)
        os.close(usual)
        listener.communicate()


with _startup_log_held_back():
    import keras  # noqa: F401  (imported from here)
    import tensorflow as tf  # noqa: F401
