"""Child processes of a test: started on free ports, logged to files, stopped by pid."""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import time


def free_port() -> int:
    with contextlib.closing(socket.socket()) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(condition, timeout: float = 20.0, what: str = "the condition", every: float = 0.02):
    """Polls until condition() is truthy and returns its value; the timeout is only a guard against hanging."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout:.0f} s (last: {value!r})")
        time.sleep(every)


def port_is_open(port: int) -> bool:
    with contextlib.closing(socket.socket()) as s:
        s.settimeout(0.2)
        return s.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """One program with its log file."""

    def __init__(self, name: str, popen: subprocess.Popen, log: pathlib.Path):
        self.name, self.popen, self.log = name, popen, log

    @property
    def pid(self) -> int:
        return self.popen.pid

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def kill(self) -> None:
        """kill -9, and waits until it is gone."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, timeout: float = 20) -> int:
        if self.is_running():
            self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop on SIGTERM within {timeout:.0f} s")

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def log_contains(self, text: str, timeout: float = 20) -> None:
        wait_until(lambda: text in self.text(), timeout, f"{text!r} in the log of {self.name}")

    def rss_mb(self) -> float:
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Processes:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.all: list[Process] = []

    def start(self, name: str, *command, env: dict | None = None, stdin=subprocess.DEVNULL) -> Process:
        log = self.directory / f"{name}-{len(self.all)}.log"
        with log.open("wb") as out:
            popen = subprocess.Popen([str(c) for c in command], stdin=stdin, stdout=out, stderr=subprocess.STDOUT,
                                     env={**os.environ, **(env or {})}, cwd=self.directory)
        process = Process(name, popen, log)
        self.all.append(process)
        return process

    def stop_all(self) -> None:
        for process in reversed(self.all):
            if process.is_running():
                process.popen.terminate()
        for process in reversed(self.all):
            try:
                process.popen.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    def tail_logs(self, lines: int = 60) -> str:
        return "\n".join(f"--- {p.name}\n" + "\n".join(p.text().splitlines()[-lines:]) for p in self.all)
