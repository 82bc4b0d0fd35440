"""Benchmarks over real processes, and the C benchmarks beside them: one JSON line a case.

    bench/run.py [--quick] [--save] [CASE...]

Machines are shared and noisy: a case is only a result together with its achieved rate and its losses, and figures are to be
compared inside one run. --save keeps the lines in bench/results with machine and commit.
"""
import json
import os
import pathlib
import platform as machine
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("NEXUS_RELEASE", ROOT / "build" / "release"))
sys.path.insert(0, str(ROOT / "tests"))

from support.broker import Listener, Mosquitto  # noqa: E402
from support.platform import Platform  # noqa: E402
from support.postgres import Postgres  # noqa: E402
from support.process import Processes, free_port, wait_until  # noqa: E402

QUICK = "--quick" in sys.argv
# What docs/formats/historian-postgres.md says of PostgreSQL at high rates.
RECOMMENDED = {"wal_compression": "lz4", "max_wal_size": "16GB", "checkpoint_timeout": "15min"}
lines: list[dict] = []


def emit(line: dict) -> None:
    lines.append(line)
    print(json.dumps(line), flush=True)


class Bench:
    """One case's processes, in a directory that goes with it."""

    def __enter__(self) -> "Bench":
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nexus-bench-"))
        self.processes = Processes(self.directory)
        self.platform = Platform(self.processes, BUILD, self.directory)
        self.hosts: list[int] = []
        return self

    def __exit__(self, *_error) -> None:
        self.processes.stop_all()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start_load(self, devices: int, tags: int, kind: str, interval: str = "1s", **more: str) -> None:
        """Simulated Modbus devices, each at an address of its own (127.x.y.z): a connection each, as in a plant."""
        path = self.directory / "modbus.yaml"
        self.processes.start("sim", BUILD / "nexus", "sim", "--host", "0.0.0.0", "--load", devices, "--tags", tags, "--type",
                             kind, "--interval", interval, "--devices-file", path)
        self.add_devices(path, "0.0.0.0", **more)

    def start_s7_load(self, cpus: int, tags: int, interval: str = "1s", **more: str) -> None:
        path = self.directory / "s7.yaml"
        self.processes.start("s7sim", BUILD / "nexus", "sim", "--s7", "--host", "0.0.0.0", "--s7-load", cpus, "--tags", tags,
                             "--interval", interval, "--devices-file", path)
        self.add_devices(path, "0.0.0.0", **more)

    def add_devices(self, path: pathlib.Path, host: str, **more: str) -> None:
        wait_until(lambda: path.exists() and path.read_text().endswith("}\n"), what="the simulator's devices file")
        numbers = iter(range(256 + len(self.hosts), 1 << 24))
        text = re.sub(rf'host: "{re.escape(host)}"', lambda _: f'host: "{self.host(next(numbers))}"', path.read_text())
        for key, value in more.items():
            text = text.replace("data_type:", f"{key}: {value}, data_type:")
        whole = self.platform.devices_path
        head = whole.read_text() if whole.exists() else "devices:\n"
        whole.write_text(head + text[text.index("devices:\n") + len("devices:\n"):])

    def host(self, n: int) -> str:
        self.hosts.append(n)
        return f"127.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"


def polls(metrics: dict[str, float], status: str = "") -> float:
    return sum(v for k, v in metrics.items() if k.startswith("gateway_polling_polls_total") and status in k)


def measure(b: Bench, case: str, tags: int, seconds: float, settle: float = 2) -> dict:
    """Achieved rate, skipped polls, CPU and memory of a gateway that polls `tags` tags once a second."""
    gateway = b.platform.roles["gateway"]
    points = lambda: b.platform.metrics("gateway").get("gateway_polling_points_read_total", 0)  # noqa: E731
    wait_until(lambda: b.platform.status("gateway")["devices_online"] == len(b.hosts), 120, "every device being online")
    wait_until(lambda: points() >= tags, 120, "a first value of every tag")
    time.sleep(settle)
    before, cpu, began = b.platform.metrics("gateway"), gateway.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    after, used, took = b.platform.metrics("gateway"), gateway.cpu_seconds() - cpu, time.monotonic() - began
    change = lambda name: after.get(name, 0) - before.get(name, 0)  # noqa: E731
    read = change("gateway_polling_points_read_total")
    return {
        "case": case, "value": round(used / took, 3), "unit": "cores of the gateway",
        "achieved_rate": round(read / took / tags, 4), "points_per_second": round(read / took),
        "skipped": change("gateway_polling_polls_skipped_total"), "rss_mb": round(gateway.rss_mb(), 1),
        "cpu_us_per_unit": round(used / read * 1e6, 3) if read else None,
        "loss": int(after.get("nexus_gateway_points_dropped_total", 0)),
    }


def polling(case: str, devices: int, tags: int, kind: str, seconds: int) -> dict:
    with Bench() as b:
        b.start_load(devices, tags, kind)
        b.platform.start("gateway", "ingest")
        line = measure(b, case, devices * tags, seconds)
        emit(line)
        return line


def p1() -> None:
    """The plant of the source document without its OPC UA part, and P6: writes with read-back while it runs."""
    modbus, s7 = (16, 4) if QUICK else (800, 150)
    with Bench() as b:
        b.start_load(modbus, 20, "uint16", access_mode="readwrite")
        b.start_s7_load(s7, 100)
        b.platform.start("gateway", "ingest")
        emit(measure(b, f"P1 {modbus} Modbus x 20 and {s7} S7 x 100 tags at 1 s", modbus * 20 + s7 * 100, 2 if QUICK else 30))
        emit(p6(b, modbus, 20 if QUICK else 500))


def p6(b: Bench, devices: int, writes: int) -> dict:
    """One command after the other: from the publish to the answer with the read-back, both at this client."""
    listener, times, bad = Listener(b.platform.broker.port, "$nexus/cmd/response/#"), [], 0
    for n in range(writes):
        device, began = n * 7 % devices, time.perf_counter()
        listener.publish(f"$nexus/cmd/load-{device:05}/t00003/set", json.dumps({"value": n, "id": f"w{n}"}), qos=2)
        wait_until(lambda: len(listener.messages) > n, every=0.0002, what="an answer")
        times.append((time.perf_counter() - began) * 1000)
        bad += not json.loads(listener.messages[n][1])["success"]
    listener.close()
    times.sort()
    return {"case": "P6 write to answer with read-back, during P1", "value": round(times[len(times) // 2], 2), "unit": "ms p50",
            "p99_ms": round(times[int(len(times) * 0.99)], 2), "writes": writes, "failed": bad}


def p3() -> None:
    """Saturation: more is asked for than can be polled; what counts is how many tags a second of CPU reads."""
    devices, tags = (4, 500) if QUICK else (40, 5000)
    with Bench() as b:
        b.start_load(devices, tags, "uint16", "50ms")
        b.platform.extra["gateway"] = ["publish.tags=false", "publish.batches=false"]
        b.platform.start("gateway")
        line = measure(b, f"P3 saturation, {devices} x {tags} tags at 50 ms", devices * tags, 2 if QUICK else 15)
    codec = next((n for n in lines if n["case"].startswith("Modbus codec")), None)
    line.update(value=round(1e6 / line["cpu_us_per_unit"]), unit="tags/s a core", cores=line["value"])
    if codec:
        line.update(ratio_to="Modbus codec alone", ratio=round(line["value"] / codec["value"], 2))
    emit(line)


def p4() -> None:
    """Cost of a tag with 100, 1,000 and 10,000 devices of 10 tags."""
    costs = {}
    for devices in (10, 100) if QUICK else (100, 1000, 10000):
        line = polling(f"P4 {devices} devices x 10 tags at 1 s", devices, 10, "uint16", 2 if QUICK else 30)
        costs[devices] = line["cpu_us_per_unit"]
    least, most = min(costs), max(costs)
    emit({"case": f"P4 cost of a tag at {most} devices", "value": costs[most], "unit": "us", "ratio_to": f"{least} devices",
          "ratio": round(costs[most] / costs[least], 2)})


def p2() -> None:
    polling("P2 100 devices x 1000 float tags at 1 s", 100, 1000, "float32", 3 if QUICK else 30)


def skeleton() -> None:
    polling("100 devices x 40 tags at 1 s", 100, 40, "uint16", 3 if QUICK else 30)


def p5() -> None:
    devices, tags, interval = (2, 10, 100) if QUICK else (10, 100, 100)
    with Bench() as b:
        port = free_port()
        b.platform.write_devices([{
            "id": f"clock{d}", "protocol": "modbus-tcp", "uns_prefix": f"bench/clock{d}", "poll_interval": f"{interval}ms",
            "connection": {"host": "127.0.0.1", "port": port},
            "tags": [{"id": f"t{i}", "address": f"holding:{4 * i}", "data_type": "uint64"} for i in range(tags)],
        } for d in range(devices)])
        b.platform.broker.start()
        probe = subprocess.Popen([BUILD / "bench" / "latency", "--port", str(b.platform.broker.port), "--listen", str(port),
                                  "--seconds", "2" if QUICK else "15"], stdout=subprocess.PIPE, text=True)
        b.platform.start_role("ingest")
        b.platform.start_role("gateway")
        emit({**json.loads(probe.communicate()[0]), "wanted_rate": devices * tags * 1000 // interval})


def quantile(metrics: dict[str, float], name: str, part: float) -> float:
    """Of a histogram: a straight line within the bucket."""
    buckets = sorted((float("inf") if "+Inf" in k else float(k.split('"')[1]), v) for k, v in metrics.items()
                     if k.startswith(name + "_bucket"))
    wanted, below, low = part * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        below, low = count, bound
    return low


def feed(b: Bench, seconds: float, *more) -> dict:
    """Batches through the broker into what ingest is set to: rate, commits, what was lost or stored twice."""
    ingest = b.platform.roles["ingest"]
    run = lambda seconds: json.loads(subprocess.run(  # noqa: E731
        [BUILD / "bench" / "feed", "--port", str(b.platform.broker.port), "--seconds", str(seconds), *map(str, more)],
        stdout=subprocess.PIPE, text=True).stdout)
    run(1 if QUICK else 5)  # series become known, files and caches grow
    before, at_first, cpu = b.platform.status("ingest")["totals"], b.platform.metrics("ingest"), ingest.cpu_seconds()
    line = run(seconds)
    totals = b.platform.status("ingest")["totals"]
    metrics = {name: value - at_first.get(name, 0) for name, value in b.platform.metrics("ingest").items()}
    duration = "data_ingestion_batch_duration_seconds"
    line.update(rss_mb=round(ingest.rss_mb(), 1), cpu_us_per_unit=round((ingest.cpu_seconds() - cpu) / max(line["points"], 1) * 1e6, 3),
                commit_p50_ms=round(quantile(metrics, duration, 0.5) * 1000, 1),
                commit_p99_ms=round(quantile(metrics, duration, 0.99) * 1000, 1), commits=int(metrics[duration + "_count"]),
                achieved_rate=round(line["value"]), duplicates=totals["duplicate_points"] - before["duplicate_points"])
    stored = totals["points"] - before["points"]
    line["loss"] += max(line["points"] - stored, 0)
    return line


def p7() -> None:
    """Batches into the historian: as much as goes, and at 200,000 points/s; PostgreSQL held against raw COPY into its table."""
    for name, more in (("as much as goes", ()), ("at 200,000 points/s", ("--rate", 200000))):
        with Bench() as b:
            b.platform.start("ingest")
            emit({**feed(b, 2 if QUICK else 30, *more), "case": f"P7 batches into SQLite, {name}"})
    seconds, connections = 2 if QUICK else 15, 2
    with Bench() as b:
        postgres = Postgres(b.processes, b.directory, **RECOMMENDED).start()
        raw = lambda: json.loads(subprocess.run(  # noqa: E731
            [BUILD / "bench" / "copy", "--url", postgres.url, "--seconds", str(seconds), "--connections", str(connections)],
            stdout=subprocess.PIPE, text=True, check=True).stdout)
        b.platform.extra["ingest"] = [f"historian.url={postgres.url}", f"ingestion.writer_count={connections}"]
        b.platform.start("ingest")
        copies, lines = [], []
        for _ in range(1 if QUICK else 3):  # in turns: what else runs on the machine is felt by both
            copies.append(raw())
            lines.append(feed(b, seconds))
        limit = sum(c["value"] for c in copies) / len(copies)
        reached = sum(line["value"] for line in lines) / len(lines)
        for copy, line in zip(copies, lines):
            emit(copy)
            emit({**line, "case": f"P7 batches into PostgreSQL, {connections} connections, as much as goes", "ratio_to": "raw COPY",
                  "ratio": round(reached / limit, 3)})
        emit({**feed(b, 2 if QUICK else 60, "--rate", 200000),
              "case": f"P7 batches into PostgreSQL, {connections} connections, at 200,000 points/s"})


def p8() -> None:
    """Tag messages, one point each: ingestion against a plain subscriber of the same broker, in turns."""
    messages, rounds = (5000, 1) if QUICK else (200000, 3)
    plain, stored, cpu = [], [], []
    publish = lambda b: subprocess.Popen([BUILD / "bench" / "tagfeed", "--port", str(b.platform.broker.port),  # noqa: E731
                                          "--messages", str(messages)], stdout=subprocess.DEVNULL)
    lost = 0
    for _ in range(rounds):
        with Bench() as b:
            b.platform.broker.start()
            listener = subprocess.Popen([BUILD / "bench" / "tagfeed", "--port", str(b.platform.broker.port), "--messages",
                                         str(messages), "--listen", "1"], stdout=subprocess.PIPE, text=True)
            assert listener.stdout.readline() == "ready\n"
            began = time.monotonic()
            publisher = publish(b)
            assert listener.wait() == 0, "the plain subscriber did not get every message"
            plain.append(messages / (time.monotonic() - began))
            publisher.wait()
        with Bench() as b:
            b.platform.start("ingest")
            ingest = b.platform.roles["ingest"]
            wait_until(lambda: b.platform.status("ingest")["broker"]["tags"]["state"] == "online", what="ingest online")
            time.sleep(0.5)
            used, began = ingest.cpu_seconds(), time.monotonic()
            publisher = publish(b)
            points = lambda: b.platform.status("ingest")["totals"]["points"]  # noqa: E731
            try:
                wait_until(lambda: points() >= messages, 120, "every message stored", every=0.05)
            except AssertionError:
                lost += messages - points()
            stored.append((messages - lost) / (time.monotonic() - began))
            cpu.append((ingest.cpu_seconds() - used) / messages * 1e6)
            publisher.wait()
    middle = lambda values: sorted(values)[len(values) // 2]  # noqa: E731
    emit({"case": "P8 tag messages in JSON, one point each", "value": round(middle(stored)), "unit": "messages/s",
          "ratio_to": "plain subscriber", "ratio": round(middle(stored) / middle(plain), 3),
          "plain_per_second": round(middle(plain)), "cpu_us_per_unit": round(middle(cpu), 2), "loss": lost, "rounds": rounds})


def processes_of(directory: pathlib.Path) -> list[tuple[str, float]]:
    """Program and resident megabytes of every process that has the directory on its command line."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            if entry.name.isdigit() and str(directory) in command:
                size = re.search(r"VmRSS:\s+(\d+)", (entry / "status").read_text())
                found.append((command.split("\0")[0], int(size.group(1)) / 1024))
        except (OSError, AttributeError):
            pass  # it has ended meanwhile
    return found


def p12() -> None:
    """`nexus up --demo` from cold to the first value on the broker; memory of all processes when idle."""
    with Bench() as b:
        port, began = free_port(), time.monotonic()
        up = b.processes.start("up", BUILD / "nexus", "up", "--demo", "--data", b.directory / "data", "--port", port)
        conf = b.directory / "data" / "broker" / "mosquitto.conf"
        wait_until(conf.exists, what="the broker's configuration")
        broker_port = int(re.search(r"^listener (\d+)", conf.read_text(), re.M).group(1))
        secret = b.directory / "data" / "secrets" / "mqtt-operator"
        wait_until(secret.exists, what="the operator's password")

        def listener() -> Listener | None:
            try:
                return Listener(broker_port, "uns/#", username="operator", password=secret.read_text().strip())
            except OSError:
                return None

        client = wait_until(listener, what="the broker")
        wait_until(lambda: client.messages, every=0.002, what="a first value")
        first = time.monotonic() - began
        client.close()
        time.sleep(1 if QUICK else 10)
        sizes = [rss for command, rss in processes_of(b.directory) if "mosquitto" not in command]
        emit({"case": "P12 cold start to the first published value", "value": round(first, 3), "unit": "s",
              "rss_mb_of_all": round(sum(sizes), 1), "processes": len(sizes)})
        up.stop()


def programs() -> None:
    """The C benchmarks: spool (P11), batch codec, historian (P9)."""
    for program in sorted((BUILD / "bench").glob("bench_*")):
        if program.is_file() and os.access(program, os.X_OK):
            out = subprocess.run([program] + (["--quick"] if QUICK else []), stdout=subprocess.PIPE, text=True).stdout
            for text in out.splitlines():
                if text.startswith("{"):
                    emit(json.loads(text))


CASES = {"programs": programs, "skeleton": skeleton, "p1": p1, "p2": p2, "p3": p3, "p4": p4, "p5": p5, "p7": p7, "p8": p8, "p12": p12}


def save() -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    head = {"commit": commit, "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "machine": machine.machine(),
            "cpu": model.group(1) if model else "", "kernel": machine.release(), "command": "make bench"}
    path = ROOT / "bench" / "results" / f"{head['date']}-{commit}.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))


def main() -> None:
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    for name in names or list(CASES):
        CASES[name]()
    if "--save" in sys.argv:
        save()


if __name__ == "__main__":
    main()
