"""A Modbus TCP server of the tests' own: every register pair counts how often it was read, so loss and doubling show.

Values are uint32 at even addresses, high word first. Written from the Modbus specification, sharing nothing with the
product: MBAP (7 bytes), function 3 and 16, everything else is answered with exception 1.
"""
import socketserver
import struct
import threading


class CountingServer:
    """Register pair n (address 2n) answers 1, 2, 3, ... - one more at each read that covers it."""

    def __init__(self, pairs: int):
        self.counts = [0] * pairs
        self.lock = threading.Lock()
        self.server = _Server(("127.0.0.1", 0), _Handler)
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

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    owner: CountingServer


class _Handler(socketserver.BaseRequestHandler):
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
        if pdu[0] in (6, 16) and hasattr(self.server.owner, "write"):
            return self.answer_write(pdu)
        if pdu[0] != 3:
            return bytes([pdu[0] | 0x80, 1])
        address, count = struct.unpack(">HH", pdu[1:5])
        data = self.server.owner.read(address, count)
        return bytes([0x83, 2]) if data is None else bytes([3, len(data)]) + data

    def answer_write(self, pdu: bytes) -> bytes:
        address, second = struct.unpack(">HH", pdu[1:5])
        values = [second] if pdu[0] == 6 else list(struct.unpack(f">{second}H", pdu[6:6 + 2 * second]))
        return pdu[:5] if self.server.owner.write(address, values) else bytes([pdu[0] | 0x80, 2])
