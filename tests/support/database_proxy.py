"""Between ingestion and a PostgreSQL server: cuts connections at the worst moment, or lets nothing through."""
import contextlib
import random
import socket
import threading
import time

from .process import free_port


class DatabaseProxy:
    """is_cutting: now and then a connection is cut right behind a COMMIT, before its answer comes back: whether it was done
    is then known to the database alone. pause(): connections stay open and nothing moves, until resume()."""

    def __init__(self, target: int, rng: random.Random | None = None):
        self.target, self.rng, self.port = target, rng or random.Random(), free_port()
        self.cuts, self.is_cutting = 0, False
        self.open = threading.Event()
        self.open.set()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def pause(self) -> None:
        self.open.clear()

    def resume(self) -> None:
        self.open.set()

    def close(self) -> None:
        self.resume()
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            state = {"cut": False}
            threading.Thread(target=self._pump, args=(client, server, state, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, state, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, state: dict, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.open.wait()
                if state["cut"]:
                    break
                if is_client and self.is_cutting and b"commit_work" in data and self.rng.random() < 0.3:
                    state["cut"] = True  # nothing of the answer gets through
                    self.cuts += 1
                    sink.sendall(data)
                    time.sleep(0.05)
                    break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
