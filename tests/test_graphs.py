"""A few hundred random graphs of programs and streams, held against an oracle: see stress/graphs, which runs more of them.

$SPILE_SEED starts at another seed.
"""
import os
import pathlib
import subprocess
import sys

import pytest

GRAPHS = pathlib.Path(__file__).parent / "stress" / "graphs"
COUNT = 300


def test_random_graphs(build):
    if not (build / "tests/pipe_user").exists():
        pytest.skip("the helper 'pipe_user' is not built: libcheck is missing (tools/setup test)")
    done = subprocess.run([sys.executable, "-B", GRAPHS, "--count", str(COUNT), "--jobs", "2"], text=True, capture_output=True,
                          env={**os.environ, "SPILE_BUILD": str(build)})
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
