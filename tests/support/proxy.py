"""A TCP relay in front of a server: each direction can be frozen (the bytes wait, as in a network that swallows packets),
slowed down, or cut; and one that understands enough MQTT to be a bad broker."""
import random
import select
import socket
import threading
import time

UP, DOWN = "up", "down"  # to the server, to the client


class Proxy:
    def __init__(self, port: int, host: str = "127.0.0.1"):
        self.target = (host, port)
        self.listener = socket.create_server((host, 0))
        self.port = self.listener.getsockname()[1]
        self.frozen: set[str] = set()
        self.refuses = False
        self.bytes_per_s = 0.0  # 0: as fast as it goes
        self.relays: list[tuple[socket.socket, socket.socket]] = []
        self.is_open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while self.is_open:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refuses:
                client.close()
                continue
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target, 5)
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = (client, server)
        self.relays.append(pair)
        try:
            while self._carry(client, server, UP) and self._carry(server, client, DOWN):
                pass
        except OSError:
            pass
        finally:
            self.relays.remove(pair)
            client.close()
            server.close()

    def _carry(self, source: socket.socket, target: socket.socket, direction: str) -> bool:
        """False: the connection has ended."""
        if direction in self.frozen or not select.select([source], [], [], 0.002)[0]:
            return True
        size = 65536
        if self.bytes_per_s:
            size = max(1, int(self.bytes_per_s / 50))
            time.sleep(0.02)
        data = source.recv(size)
        if data:
            self.forward(source, target, direction, data)
        return bool(data)

    def forward(self, source: socket.socket, target: socket.socket, direction: str, data: bytes) -> None:
        target.sendall(data)

    def freeze(self, *directions: str) -> None:
        self.frozen = set(directions or (UP, DOWN))

    def thaw(self) -> None:
        self.frozen = set()

    def cut(self) -> None:
        """All connections end; new ones are welcome."""
        for pair in list(self.relays):
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self) -> None:
        self.is_open = False
        self.listener.close()
        self.cut()


class BadBroker(Proxy):
    """Takes some of the publications on a topic for itself: acknowledges and forgets them (reason 0), or refuses them with
    an MQTT 5 reason code (0x97: quota exceeded). share: of 1."""

    def __init__(self, port: int, topic: bytes, rng: random.Random):
        self.topic, self.rng, self.share, self.reasons, self.eaten = topic, rng, 0.0, [0x97], 0
        self.buffers: dict[socket.socket, bytes] = {}
        super().__init__(port)

    def forward(self, source: socket.socket, target: socket.socket, direction: str, data: bytes) -> None:
        if direction == DOWN:
            # A PUBACK of ours goes between two writes of the broker; it writes whole packets into a quiet connection.
            target.sendall(data)
            return
        rest = self.buffers.pop(source, b"") + data
        while (packet := self._take_packet(rest)) is not None:
            rest = rest[len(packet):]
            answer = self._eat(packet)
            if answer is None:
                target.sendall(packet)
            else:
                source.sendall(answer)
        self.buffers[source] = rest

    @staticmethod
    def _take_packet(data: bytes) -> bytes | None:
        length, shift = 0, 0
        for i, byte in enumerate(data[1:5]):
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                end = i + 2 + length
                return data[:end] if len(data) >= end else None
        return None

    def _eat(self, packet: bytes) -> bytes | None:
        if packet[0] >> 4 != 3 or packet[0] & 6 != 2 or self.rng.random() >= self.share:
            return None
        start = 1
        while packet[start] >= 0x80:
            start += 1
        start += 1
        length = int.from_bytes(packet[start:start + 2])
        topic, number = packet[start + 2:start + 2 + length], packet[start + 2 + length:start + 4 + length]
        if not topic.startswith(self.topic):
            return None
        self.eaten += 1
        return b"\x40\x03" + number + bytes([self.rng.choice(self.reasons)])
