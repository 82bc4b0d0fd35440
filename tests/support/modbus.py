"""A Modbus TCP server of the tests' own: every register pair counts how often it was read, so loss and doubling show.

Values are uint32 at even addresses, high word first. Written from the Modbus specification, sharing nothing with the
product: MBAP (7 bytes), functions 3, 6 and 16, everything else is answered with exception 1.
"""
import contextlib
import socket
import socketserver
import struct
import threading
import time


class CountingServer:
    """Register pair n (address 2n) answers 1, 2, 3, ... - one more at each read that covers it."""

    def __init__(self, pairs: int, host: str = "127.0.0.1"):
        self.counts = [0] * pairs
        self.lock = threading.Lock()
        self.server = _Server((host, 0), _Handler)
        self.server.owner = self
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def read(self, address: int, count: int) -> bytes | None:
        first, last = address // 2, (address + count - 1) // 2
        if count == 0 or count > 125 or last >= len(self.counts):
            return None
        with self.lock:
            for pair in range(first, last + 1):
                self.counts[pair] += 1
            words = b"".join(struct.pack(">I", self.counts[pair]) for pair in range(first, last + 1))
        skip = (address % 2) * 2
        return words[skip:skip + count * 2]

    def write(self, address: int, words: list[int]) -> bool:
        return False  # counters take no writes

    def drop(self) -> None:
        """Ends the connections that are open; new ones are welcome."""
        for connection in list(self.server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class WritableServer(CountingServer):
    """Registers that keep what is written; writes tells every write that arrived, in its order: (time, address, words)."""

    def __init__(self, registers: int, host: str = "127.0.0.1"):
        self.registers, self.writes, self.delay_s = [0] * registers, [], 0.0
        super().__init__(0, host)

    def read(self, address: int, count: int) -> bytes | None:
        if count == 0 or count > 125 or address + count > len(self.registers):
            return None
        with self.lock:
            return struct.pack(f">{count}H", *self.registers[address:address + count])

    def write(self, address: int, words: list[int]) -> bool:
        if address + len(words) > len(self.registers):
            return False
        with self.lock:
            self.writes.append((time.time(), address, words))
            self.registers[address:address + len(words)] = words
        time.sleep(self.delay_s)  # a device that takes its time
        return True


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *args):
        self.connections: set[socket.socket] = set()
        super().__init__(*args)
    owner: CountingServer


class _Handler(socketserver.BaseRequestHandler):
    def setup(self) -> None:
        self.server.connections.add(self.request)

    def finish(self) -> None:
        self.server.connections.discard(self.request)

    def receive(self, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = self.request.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def handle(self) -> None:
        try:
            while True:
                transaction, _, length, unit = struct.unpack(">HHHB", self.receive(7))
                pdu = self.receive(length - 1)
                reply = self.answer(pdu)
                self.request.sendall(struct.pack(">HHHB", transaction, 0, len(reply) + 1, unit) + reply)
        except (ConnectionError, OSError):
            pass

    def answer(self, pdu: bytes) -> bytes:
        if pdu[0] in (6, 16):
            words = pdu[3:5] if pdu[0] == 6 else pdu[6:]
            done = self.server.owner.write(struct.unpack(">H", pdu[1:3])[0], list(struct.unpack(f">{len(words) // 2}H", words)))
            return pdu[:5] if done else bytes([pdu[0] | 0x80, 1])
        if pdu[0] != 3:
            return bytes([pdu[0] | 0x80, 1])
        address, count = struct.unpack(">HH", pdu[1:5])
        data = self.server.owner.read(address, count)
        return bytes([0x83, 2]) if data is None else bytes([3, len(data)]) + data

    def answer_write(self, pdu: bytes) -> bytes:
        address, second = struct.unpack(">HH", pdu[1:5])
        values = [second] if pdu[0] == 6 else list(struct.unpack(f">{second}H", pdu[6:6 + 2 * second]))
        return pdu[:5] if self.server.owner.write(address, values) else bytes([pdu[0] | 0x80, 2])
