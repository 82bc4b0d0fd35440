"""S7 peers: our simulator, the native snap7 server and client, python-snap7 and nodes7. Free ports, stopped by pid."""
import json
import os
import pathlib
import subprocess

from .process import Process, Processes, free_port, wait_until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def path_of(tool: str) -> pathlib.Path:
    """What a tool of ours that makes something outside the tree (tools/snap7-peer, ...) says where it is."""
    return pathlib.Path(subprocess.run([ROOT / "tools" / tool], stdout=subprocess.PIPE, text=True,
                                       check=True).stdout.strip())


class Conversation:
    """A program that answers each line on its standard input by one line on its standard output."""

    def __init__(self, processes: Processes, name: str, *command, greeting: str = ""):
        self.process: Process = processes.start(name, *command, stdin=subprocess.PIPE)
        self.answered = 0
        if greeting:
            self.greeting = self.next_line(greeting)

    def lines(self) -> list[str]:
        return self.process.text().split("\n")[:-1]

    def next_line(self, what: str) -> str:
        wait_until(lambda: len(self.lines()) > self.answered or not self.process.is_running(), what=what)
        lines = self.lines()
        assert len(lines) > self.answered, f"{self.process.name} ended: {self.process.text()}"
        self.answered += 1
        return lines[self.answered - 1]

    def ask(self, line: str) -> str:
        self.process.popen.stdin.write(line.encode() + b"\n")
        self.process.popen.stdin.flush()
        return self.next_line(f"answer to {line[:60]!r}")

    def tell(self, line: str) -> None:
        answer = self.ask(line)
        assert answer.startswith("ok"), f"{line!r}: {answer}"

    def set(self, area: str, number: int, byte: int, data: bytes) -> None:
        self.tell(f"set {area} {number} {byte} {data.hex()}")

    def get(self, area: str, number: int, byte: int, count: int) -> bytes:
        answer = self.ask(f"get {area} {number} {byte} {count}")
        assert answer.startswith("ok "), answer
        return bytes.fromhex(answer.split()[1])


class S7Simulator(Conversation):
    """`nexus sim --s7 ...`; commands are those of sim/s7_control.h."""

    def __init__(self, processes: Processes, build_dir: pathlib.Path, *options):
        super().__init__(processes, "s7-sim", build_dir / "nexus", "sim", "--s7", "--s7-control", *options,
                         greeting="simulator listening")
        self.port = int(self.greeting.split("ports ")[1].split()[0])

    def stats(self) -> dict[str, int]:
        words = self.ask("stats").split()[1:]
        return dict(zip(words[::2], map(int, words[1::2])))

    def drawn(self) -> dict[str, int]:
        words = self.ask("drawn").split()[1:]
        return dict(zip(words[::2], map(int, words[1::2])))


class Snap7Server(Conversation):
    """The native server; areas are registered with area()."""

    def __init__(self, processes: Processes):
        self.port = free_port()
        super().__init__(processes, "snap7-server", path_of("snap7-peer") / "snap7_server", self.port,
                         greeting="snap7 listening")
        assert self.greeting == "ready", self.greeting

    def area(self, area: str, number: int, size: int) -> None:
        self.tell(f"area {area} {number} {size}")


class Snap7Client(Conversation):
    """The native client."""

    def __init__(self, processes: Processes, port: int, rack: int = 0, slot: int = 1):
        super().__init__(processes, "snap7-client", path_of("snap7-peer") / "snap7_client", port, rack, slot)


class PythonSnap7Server:
    """python-snap7's server in this process. It fakes success where a CPU refuses: for values only."""

    def __init__(self, areas: dict[tuple[str, int], bytearray]):
        from snap7 import SrvArea
        from snap7.server import Server

        codes = {"I": SrvArea.PE, "Q": SrvArea.PA, "M": SrvArea.MK, "T": SrvArea.TM, "C": SrvArea.CT, "DB": SrvArea.DB}
        self.areas, self.port, self.server = areas, free_port(), Server()
        for (area, number), data in areas.items():
            self.server.register_area(codes[area], number, data)
        self.server.start(tcp_port=self.port)

    def close(self) -> None:
        self.server.stop()


def nodes7(port: int, *, read=(), write=None, rack: int = 0, slot: int = 1) -> dict:
    """Lets nodes7 write, then read; addresses in its own dialect ("DB1,REAL4", "MR8")."""
    done = subprocess.run(["node", ROOT / "tests/interop/nodes7_client.js", str(port), str(rack), str(slot)],
                          input=json.dumps({"read": list(read), "write": write or {}}), capture_output=True, text=True,
                          timeout=60, env={**os.environ, "NODE_PATH": str(path_of("node-peers"))})
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stdout + done.stderr
    return json.loads(lines[-1])
