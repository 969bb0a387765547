"""A publisher of books on this machine, which fails in every way that a real one does."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers.corpora import clean_dracula

NOVEL = (
    "CHAPTER I\r\n\r\nJONATHAN HARKER'S JOURNAL\r\n\r\n"
    + "It was late. " * 999
    + 'for her sake."\r\n\r\nJONATHAN HARKER.\r\n'
)
BOOK = ("Title page\r\n\r\n" + NOVEL + "\r\nTHE END\r\n").encode("latin-1")
WEB_PAGE = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Answer as the last part of the address says: a proxy is asked for a whole address."""

    def do_GET(self):
        self.server.requests += 1
        route = self.path.rpartition("/")[2]
        if route.isdigit():
            return self.send_error(int(route))
        if route == "redirect":
            self.send_response(302)
            self.send_header("Location", "/page")
            return self.end_headers()
        body = WEB_PAGE if route == "page" else b"another book" if route == "wrong" else BOOK
        if route == "silent":
            return self.server.release.wait(10)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if route in ("half", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if route == "stall":
                self.server.release.wait(10)
        else:
            self.wfile.write(body)

    def do_CONNECT(self):
        self.server.requests += 1
        self.send_error(403)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """Serve a short Dracula, and name the sources that lead to it."""

    daemon_threads, block_on_close = True, False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.release = 0, threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def pinned(self, route="good"):
        """Return a source with a digest."""
        digest = hashlib.sha256(BOOK).hexdigest()
        return {"url": f"{self.url}/{route}", "file": "345-8.txt", "sha256": digest}

    def current(self, route="good"):
        """Return a source without a digest: an edition that the publisher goes on correcting."""
        length = len(clean_dracula(BOOK.decode().replace("\r\n", "\n")))
        about = {"file": "pg345.txt", "characters": length, "note": "twenty errata"}
        return {"url": f"{self.url}/{route}"} | about
