"""Serves the page's files, and forwards api/ to an HTTP API elsewhere: so that the page can be seen with any of them.

Only for tests and for working on the page: `python -m tests.page.server http://127.0.0.1:15672`.
"""

import contextlib
import http.client
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

STATIC = Path(__file__).parent.parent.parent / "amqpbroker" / "management" / "static"

#: The strictest policy that the page has to work under.
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
PASSED_ON = ("authorization", "content-type", "cookie", "x-requested-with")


class PageServer:
    """The page under `prefix`, in front of the API at `api`. Use it in a `with`; `url` is where it is."""

    def __init__(self, api: str, prefix: str = "", port: int = 0) -> None:
        where = urlsplit(api)

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}

            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(STATIC))

            def do_GET(self):
                if not self.path.startswith(f"{prefix}/"):
                    self.send_error(404)
                elif self.path.startswith(f"{prefix}/api/"):
                    self.forward()
                else:
                    self.path = self.path.removeprefix(prefix)
                    super().do_GET()

            def forward(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
                connection = http.client.HTTPConnection(where.hostname, where.port, timeout=30)
                connection.request(self.command, self.path.removeprefix(prefix), body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    # The browser would ask for a password by itself; our API does not say that to the page either.
                    if name.lower() in ("content-type", "set-cookie", "location"):
                        self.send_header(name, value)
                if answer.status != 204:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                # The page gives requests up that it no longer needs.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(content if answer.status != 204 else b"")

            do_PUT = do_POST = do_DELETE = forward

            def end_headers(self):
                self.send_header("content-security-policy", POLICY)
                self.send_header("cache-control", "no-store")
                super().end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}{prefix}/"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


if __name__ == "__main__":
    with PageServer(sys.argv[1], *sys.argv[2:3], port=15680) as server:
        print(server.url)
        threading.Event().wait()
