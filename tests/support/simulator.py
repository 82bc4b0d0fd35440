"""`nexus sim` as a child process, on TCP or on a pty, with its control commands."""
import pathlib
import signal
import subprocess

from .process import Processes, wait_until


class Simulator:
    def __init__(self, processes: Processes, build_dir: pathlib.Path, *options):
        self.process = processes.start("sim", build_dir / "nexus", "sim", "--control", *options, stdin=subprocess.PIPE)
        wait_until(lambda: "simulating" in self.process.text() or not self.process.is_running(), what="sim listening")
        text = self.process.text()
        assert self.process.is_running(), text
        self.port = int(text.split("ports ")[1].split()[0]) if "ports " in text else 0

    def answers(self) -> list[str]:
        return [line for line in self.process.text().splitlines(True) if line.startswith(("ok", "error"))]

    def tell(self, command: str) -> str:
        """Sends a command and returns what follows its "ok"."""
        before = len(self.answers())
        self.process.popen.stdin.write(command.encode() + b"\n")
        self.process.popen.stdin.flush()
        wait_until(lambda: len(self.answers()) > before and self.answers()[before].endswith("\n"),
                   what=f"answer to {command!r}", every=0.005)
        answer = self.answers()[before].strip()
        assert answer.startswith("ok"), answer
        return answer[2:].strip()

    def requests(self) -> int:
        return int(self.tell("requests"))

    def drawn(self) -> dict[str, int]:
        """How many replies suffered what."""
        words = self.tell("drawn").split()
        return {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}

    def move_registers(self) -> None:
        self.process.popen.send_signal(signal.SIGUSR1)
