"""100 devices x 40 tags at 1 s, on the release build: every poll in time. Ratios and counts only."""
import time

from support.platform import Platform
from support.process import wait_until

DEVICES, TAGS, SECONDS = 100, 40, 10


def test_hundred_devices_keep_their_rate(processes, release_dir, tmp_path):
    platform = Platform(processes, release_dir, tmp_path)
    processes.start("sim", release_dir / "nexus", "sim", "--load", DEVICES, "--tags", TAGS, "--devices-file",
                    platform.devices_path)
    wait_until(platform.devices_path.exists, what="the simulator's devices file")
    platform.start("gateway", "ingest")
    read = lambda: platform.metrics("gateway").get("gateway_polling_points_read_total", 0)  # noqa: E731
    wait_until(lambda: read() >= DEVICES * TAGS, 60, "a first value of every tag")
    before, began = read(), time.monotonic()
    time.sleep(SECONDS)
    rate = (read() - before) / (time.monotonic() - began) / (DEVICES * TAGS)
    assert 0.9 < rate < 1.1, f"{rate:.3f} Hz instead of 1.00 Hz"
    assert platform.metrics("gateway").get("gateway_polling_polls_skipped_total", 0) == 0
    assert platform.roles["gateway"].rss_mb() <= 40
    # Everything that was read is stored or on its way.
    stored = lambda: sum(v for k, v in platform.metrics("ingest").items() if k.startswith("data_ingestion_points_total"))  # noqa: E731
    target = read()
    wait_until(lambda: stored() >= target, 30, "ingestion catching up")
