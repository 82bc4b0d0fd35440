"""The benchmarks of ingestion, tiny: they run, and nothing is lost or stored twice."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("case", ["p7", "p8"])
def test_it_runs_and_loses_nothing(case, build_dir):
    done = subprocess.run([sys.executable, ROOT / "bench" / "run.py", "--quick", case], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "NEXUS_RELEASE": str(build_dir)}, timeout=300)
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert done.returncode == 0 and lines
    for line in lines:
        assert line["value"] > 0 and line.get("loss", 0) == 0, line
        assert line.get("duplicates", 0) == 0, line
