"""Fault rows 18, 19 and 26, and the urgent lane: what the gateway does when its disk or its memory fails."""
import errno
import pathlib
import re
import shutil
import struct
import subprocess
import time

import pytest

from support import books
from support.ledger import Ledger, check_books
from support.plant import TAGS, Plant
from support.process import wait_until

# --- 18, 19 ---


@pytest.fixture
def disk(tmp_path, build_dir):
    """A disk for the gateway's spool that fails when it is told to: disk.fail(errno), 0: all is well."""
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler, "a C compiler is needed for the disk of the test"
    library, code = tmp_path / "bad_disk.so", tmp_path / "errno"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).parent / "bad_disk.c"], check=True)
    code.write_bytes(bytes(4))
    linked = subprocess.run(["ldd", build_dir / "nexus"], capture_output=True, text=True).stdout
    sanitizers = re.findall(r"=> (\S*lib(?:asan|tsan)\S*)", linked)  # they must come first

    class Disk:
        environment = {"LD_PRELOAD": ":".join([*sanitizers, str(library)]), "NEXUS_TEST_DISK_ERRNO": str(code),
                       "NEXUS_TEST_DISK": f"{tmp_path}/spool-gateway"}

        @staticmethod
        def fail(number: int) -> None:
            with code.open("r+b") as out:
                out.write(struct.pack("=i", number))

    return Disk


@pytest.mark.parametrize("numbers", [[errno.ENOSPC], [errno.EIO, errno.EROFS]], ids=["full", "broken"])
def test_disk_fails_now_and_then(rig, rng, rounds, disk, numbers):
    """Polls go on, the reason is told, what is lost is counted and declared, and the next value is stored again."""
    plant = Plant(rig)
    rig.platform.extra["gateway"].append("publish.tags=false")  # a lost batch must not come by another way
    plain = rig.platform.start_role
    rig.platform.start_role = lambda role, env=None: plain(role, disk.environment if role == "gateway" else env)
    plant.start()
    for _ in range(rounds(3)):
        lost = sum(plant.status()["spool"]["lost"].values())
        disk.fail(rng.choice(numbers))
        plant.poll_on(rng.randint(5, 20))
        wait_until(lambda: plant.status()["spool"]["error"], what="the reason being told")
        disk.fail(0)
        wait_until(lambda: not plant.status()["spool"]["error"], what="points being taken again")
        assert sum(plant.status()["spool"]["lost"].values()) > lost
        plant.poll_on()
    counted = sum(plant.status()["spool"]["lost"].values())
    ledger = plant.finish(lost=counted)
    assert ledger.causes() <= {"DISK_FULL", "IO", "DENIED"}
    gone = sum(len(books.missing(values)) for values in rig.numbers(
        [f"uns/test/{name}/t{i}" for name in plant.names for i in range(TAGS)]).values())
    gone += len(books.missing(rig.numbers(["uns/test/good/t0"])["uns/test/good/t0"]))
    assert gone == counted, f"{gone} values are missing, {counted} were counted as lost"


# --- 26 ---

def test_no_memory_left(rig, rng, rounds):
    """A process that gets no memory ends at once, by itself; its next life has everything that was in the spool."""
    plant = Plant(rig)
    plant.start()
    platform, deaths = plant.platform, rounds(2)

    def starve(gateway) -> None:
        """No more address space, and ever more devices, until it ends."""
        for attempt in range(10):
            size = int(re.search(r"VmSize:\s+(\d+)", pathlib.Path(f"/proc/{gateway.pid}/status").read_text())[1])
            subprocess.run(["prlimit", "--pid", str(gateway.pid), f"--as={size * 1024 + rng.randint(0, 1 << 18)}"], check=True)
            platform.write_devices(rig.devices + [
                {**rig.devices[0], "id": f"more{attempt}x{i}", "uns_prefix": f"test/more{attempt}x{i}",
                 "tags": [{**rig.devices[0]["tags"][0], "id": f"t{n}", "name": "x" * 100} for n in range(400)]} for i in range(40)])
            gateway.popen.send_signal(1)
            try:
                wait_until(lambda: not gateway.is_running(), 5, "the end of the process")
                return
            except AssertionError:
                continue
        raise AssertionError("it lives on without memory")

    for _ in range(deaths):
        gateway = platform.roles["gateway"]
        platform.roles["ingest"].kill()
        plant.poll_on(10)
        starve(gateway)
        said = gateway.text().lower()  # sanitizers have words of their own
        assert "out of memory" in said or "failed to mmap" in said or "failed to allocate" in said or "unable to mmap" in said, said[-2000:]
        rig.processes.all.remove(gateway)  # what it says at its end is no mistake
        platform.write_devices(rig.devices)
        platform.start_role("gateway")
        platform.start_role("ingest")
        plant.poll_on()
    rig.finish()
    assert not Ledger(platform).undeclared()
    for topic, values in rig.numbers([f"uns/test/{name}/t0" for name in plant.names]).items():
        books.check_counter(topic, values)
        assert len(books.missing(values)) <= deaths + 1, f"{topic}: {books.missing(values)}"


# --- the urgent lane ---

def test_urgent_values_do_not_wait_behind_the_others(rig, rng, rounds):
    """After an outage the newest and the oldest urgent values are stored while telemetry still waits."""
    plant = Plant(rig, devices=8)
    rig.devices[0]["tags"][0]["priority"] = "safety"
    rig.platform.extra["gateway"].append("buffer.window=64")
    plant.start()
    assert set(plant.status()["lanes"]) == {"bulk", "urgent"}
    assert plant.platform.metrics("gateway")['nexus_gateway_spool_records{lane="urgent"}'] >= 0
    for _ in range(rounds(1)):
        plant.platform.roles["ingest"].kill()
        time.sleep(rng.uniform(5, 6))
        waiting = plant.status()["lanes"]
        assert waiting["urgent"]["records"] > 20 and waiting["bulk"]["records"] > 200, waiting
        plant.platform.start_role("ingest")
        # The broker may still hold some batches of both; the urgent spool is empty well before the other one.
        left = wait_until(lambda: (s := plant.status()["lanes"])["urgent"]["backlog"] == 0 and s, 30, "the urgent backlog", 0.005)
        print(f"urgent backlog stored, {left['bulk']['backlog']} of {waiting['bulk']['records']} others wait")
        assert left["bulk"]["backlog"] > 0.1 * waiting["bulk"]["records"]
        wait_until(lambda: plant.status()["link"]["backlog"] == 0, 60, "the rest")
    ledger = plant.finish()
    assert {lane.lane for lane in ledger.lanes} == {0, 128}
    check_books(plant.platform)
