"""Fixtures: every process that a test talks to is started here, on free ports, and stopped by pid."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.platform import Platform  # noqa: E402
from support.process import Processes  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def build_dir() -> pathlib.Path:
    """The build with sanitizers that run-tests made, or NEXUS_BUILD."""
    path = pathlib.Path(os.environ.get("NEXUS_BUILD", ROOT / "build" / "asan"))
    assert (path / "nexus").exists(), f"{path}/nexus is missing: tools/run-tests build"
    return path


@pytest.fixture(scope="session")
def release_dir() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("NEXUS_RELEASE", ROOT / "build" / "release"))
    assert (path / "nexus").exists(), f"{path}/nexus is missing: tools/run-tests build"
    return path


@pytest.fixture
def processes(tmp_path):
    """Starts programs; whatever still runs at the end is killed, and their logs are printed when the test failed."""
    running = Processes(tmp_path)
    yield running
    running.stop_all()


@pytest.fixture
def platform(processes, build_dir, tmp_path) -> Platform:
    """Broker, gateway, ingestion and core as separate processes (not started yet: platform.start())."""
    return Platform(processes, build_dir, tmp_path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    running = item.funcargs.get("processes") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and running:
        report.sections.append(("process logs", running.tail_logs()))
