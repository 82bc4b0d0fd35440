"""A TCP relay in front of a broker that can keep back what the clients send: acknowledgements that never arrive."""
import contextlib
import socket
import threading


class Valve:
    def __init__(self, target_port: int):
        self.target_port = target_port
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.is_holding = False
        self.swallowed = 0
        self.links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                try:
                    target = socket.create_connection(("127.0.0.1", self.target_port))
                except OSError:
                    client.close()
                    continue
                for sock in (client, target):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.links.append(sock)
                threading.Thread(target=self._relay, args=(client, target, True), daemon=True).start()
                threading.Thread(target=self._relay, args=(target, client, False), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client and self.is_holding:
                    self.swallowed += len(data)
                else:
                    sink.sendall(data)
        self._shut(source, sink)

    @staticmethod
    def _shut(*sockets: socket.socket) -> None:
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """From now on nothing of the clients reaches the broker."""
        self.is_holding = True

    def cut(self) -> None:
        """Ends every connection; new ones pass."""
        self._shut(*self.links)
        self.links.clear()
        self.is_holding = False

    def close(self) -> None:
        self._shut(self.server)
        self.server.close()
        self.cut()
