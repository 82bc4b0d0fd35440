"""The admin port of a gateway with canned answers, for what the core and the UI do with them."""
import http.server
import json
import threading


class FakeGateway:
    """answers: path -> (status, content type, bytes)."""

    def __init__(self, port: int):
        self.answers: dict[str, tuple[int, str, bytes]] = {}
        self.asked: list[str] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.asked.append(self.path)
                status, kind, body = owner.answers.get(self.path, (404, "text/plain", b"no"))
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def say(self, path: str, body, status: int = 200, kind: str = "application/json") -> None:
        self.answers[path] = (status, kind, body if isinstance(body, bytes) else json.dumps(body).encode())

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
