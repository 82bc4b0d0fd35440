"""`nexus sim` as the devices of a test: what it does wrong is changed while it runs."""
import pathlib
import subprocess

from .process import Process, Processes, free_port, wait_until


class Simulator:
    """Counting devices (nexus sim --load) with the unit ids 1, 2, ... behind one port or on one pseudo terminal.

    It listens on every address of this computer, so that devices at 127.0.x.y have a connection each.
    """

    def __init__(self, processes: Processes, build: pathlib.Path, devices: int, tags: int, *options: str,
                 port: int | None = None, pty: pathlib.Path | None = None):
        self.processes, self.nexus = processes, build / "nexus"
        self.port, self.pty = port or free_port(), pty
        place = ["--pty", pty] if pty else ["--host", "0.0.0.0", "--port", self.port]
        self.options = [*place, "--load", devices, "--tags", tags, "--control", *options]
        self.process: Process | None = None
        self.answers = 0

    def start(self, *more) -> "Simulator":
        self.answers = 0
        self.process = self.processes.start("sim", self.nexus, "sim", *self.options, *more, stdin=subprocess.PIPE)
        wait_until(lambda: "simulating" in self.process.text() or not self.process.is_running(), what="the simulator")
        assert self.process.is_running(), self.process.text()
        return self

    def tell(self, command: str) -> str:
        """A command of its control (nexus sim --help) and the answer behind "ok"."""
        self.process.popen.stdin.write(command.encode() + b"\n")
        self.process.popen.stdin.flush()
        lines = wait_until(lambda: len(found := self._answers()) > self.answers and found, what=f"an answer to {command}")
        self.answers += 1
        assert lines[-1].startswith("ok"), lines[-1]
        return lines[-1][3:]

    def _answers(self) -> list[str]:
        text = self.process.text()
        whole = text[:text.rfind("\n") + 1]  # the last line may still be being written
        return [line for line in whole.splitlines() if line.startswith(("ok", "error:"))]

    def fault(self, name: str, value="") -> None:
        self.tell(f"fault {name} {value}")

    def faults(self, rate: int, *kinds: str) -> None:
        """So many of 1,000 replies suffer one of the kinds."""
        self.fault("fault-rate", rate)
        for kind in kinds:
            self.fault(kind)

    def drawn(self) -> dict[str, int]:
        """How many replies suffered what; "good": nothing."""
        words = self.tell("drawn").split()
        return {kind: int(n) for kind, n in zip(words[::2], words[1::2])}

    def spoiled(self) -> int:
        """How many replies suffered something since the last heal()."""
        return sum(n for kind, n in self.drawn().items() if kind != "good")

    def heal(self) -> int:
        """Nothing is wrong any more; returns how many replies suffered something since the last time."""
        self.fault("fault-rate", 0)
        spoiled = self.spoiled()
        self.fault("none")
        return spoiled

    def requests(self) -> int:
        return int(self.tell("requests"))
