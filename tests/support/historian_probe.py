"""A historian in a process of its own, moved by commands (tests/interop/historian_probe.c)."""
import contextlib
import json
import os
import subprocess

SEC = 1_000_000
MINUTE, HOUR, DAY = 60 * SEC, 3600 * SEC, 86400 * SEC
T0 = 1_700_006_400 * SEC  # 2023-11-15 00:00
NONE, BOOL, INT, UINT, DOUBLE, STRING = range(6)
RAW, MINMAX, AVG, LAST, TWA, LTTB = range(6)
SILENT = ("now ", "batch ", "gap ", "p ")


class Probe:
    def __init__(self, build_dir, url: str, *options, env: dict | None = None):
        self.process = subprocess.Popen([build_dir / "tests/interop/historian_probe", url, *map(str, options)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})

    def send(self, *lines: str) -> None:
        self.process.stdin.write("".join(line + "\n" for line in lines))
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the probe ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, *lines: str):
        """The answer of the last line; those before must be fine."""
        self.send(*lines)
        answers = [self.answer() for line in lines if not line.startswith(SILENT)]
        for answer in answers[:-1]:
            assert "error" not in answer, answer
        return answers[-1]

    def good(self, *lines: str):
        answer = self.ask(*lines)
        assert "error" not in answer, answer
        return answer

    def close(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@contextlib.contextmanager
def probe(build_dir, url, *options, now=T0 + DAY):
    p = Probe(build_dir, url, *options)
    p.send(f"now {now}")
    assert p.ask("reopen") == {"ok": True}
    try:
        yield p
        p.close()
    finally:
        p.process.kill()


def point(topic: str, time_us: int, kind: int, value, quality: int = 192, series_kind: int | None = None) -> str:
    if kind == STRING:
        text = value if isinstance(value, bytes) else value.encode()
        shown = text.hex() or "-"
    elif kind == NONE:
        shown = "-"
    else:
        shown = float(value).hex() if kind == DOUBLE else str(int(value))
    return f"p {topic} bar {kind if series_kind is None else series_kind} {time_us} {quality} {kind} {shown}"


def batch(seq: int, *points: str, gateway: str = "gw", lane: int = 0) -> list[str]:
    return [f"batch {gateway} 7 {lane} {seq}", *points]
