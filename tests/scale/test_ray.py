"""A Ray cluster of two nodes on this machine, one of them killed: the bytes of one process."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.vqgan.store import save_vqgan

pytestmark = pytest.mark.scale

ROOT = Path(__file__).resolve().parents[2]
TOYS = SimpleNamespace(**runpy.run_path(str(ROOT / "tests/toys.py")))
FRAMES = 30_000


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Frames and a VQGAN, for some half a minute of work in 128 parts or so."""
    folder = tmp_path_factory.mktemp("scale")
    (folder / "frames").mkdir()
    (folder / "vqgan").mkdir()
    save_vqgan(folder / "vqgan", TOYS.toy_vqgan())
    size, draws = TOYS.SIZE, np.random.default_rng(0)
    with FrameWriter(folder / "frames", height=size, width=size, shard_bytes=10**7) as writer:
        writer.append(draws.integers(0, 256, (FRAMES, size, size, 3)).astype(np.uint8))
        writer.add(TOYS.segment(0, 0, FRAMES // 2))
        writer.add(TOYS.segment(1, FRAMES // 2, FRAMES - FRAMES // 2))
    FrameStore.open(folder / "frames")
    return folder


def start(inputs, name, *options):
    """Begin `cvg tokenize`, with a state and an output of its own."""
    command = [sys.executable, "-m", "pipeline", "tokenize", "--frames", inputs / "frames"]
    command += ["--vqgan", inputs / "vqgan", "--out", inputs / name / "codes"]
    command += ["--set", "tokenize.batch_size=8", *options]
    state = {"CVG_STATE_DIR": str(inputs / name), "CVG_TRACKING": "off"}
    return subprocess.Popen([str(word) for word in command], cwd=ROOT, env=os.environ | state)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def local(inputs):
    assert start(inputs, "local").wait() == 0
    return contents(inputs / "local/codes")


def parts(inputs, name):
    return len([*(inputs / name / ".runs/tokenize").glob("*/part-*/part.json")])


def at_work(pid):
    """List the processes below a raylet that make a part at this moment."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            is_task = (folder / "cmdline").read_bytes().startswith(b"ray::make_part")
        except OSError:
            continue
        if parent == pid and is_task:
            found.append(folder.name)
    return found


def test_one_of_two_nodes_is_killed_and_no_part_is_lost(inputs, local):
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    try:
        node = cluster.add_node(num_cpus=1)
        raylet = node.all_processes["raylet"][0].process.pid
        process = start(inputs, "ray", "--launcher", "ray", "--ray-address", cluster.address)
        until = time.monotonic() + 300
        while parts(inputs, "ray") < 10 or not at_work(raylet):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.01)
        cluster.remove_node(node, allow_graceful=False)
        before = parts(inputs, "ray")
        assert before < 100
        assert process.wait(timeout=600) == 0
    finally:
        cluster.shutdown()
    assert contents(inputs / "ray/codes") == local
    assert not [path for path in (inputs / "ray/.runs").rglob("*") if path.is_file()]


def test_ray_on_this_machine_gives_the_bytes_of_one_process(inputs, local):
    pytest.importorskip("ray")
    assert start(inputs, "alone", "--launcher", "ray").wait() == 0
    assert contents(inputs / "alone/codes") == local


def test_a_signal_ends_it_in_order_and_one_process_goes_on(inputs, local):
    pytest.importorskip("ray")
    process = start(inputs, "stopped", "--launcher", "ray")
    until = time.monotonic() + 300
    while parts(inputs, "stopped") < 10:
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert 10 <= parts(inputs, "stopped") < 100
    assert start(inputs, "stopped").wait() == 0
    assert contents(inputs / "stopped/codes") == local


def test_ray_scores_samples_as_one_process_does(tmp_path):
    pytest.importorskip("ray")
    run = TOYS.write_run(tmp_path / "run", clips=9)
    options = ("frames", "vqgan", "transformer", "samples", "critic", "health")
    words = [word for name in options for word in (f"--{name}", run / name)]
    for name, launch in (("local", ()), ("ray", ("--launcher", "ray"))):
        out = tmp_path / name
        command = [sys.executable, "-m", "pipeline", "evaluate", *words, *launch]
        command += ["--out", out / "metrics.json", "--scores", out / "scores"]
        own = {"CVG_STATE_DIR": str(out), "CVG_FEATURES": str(out / "features")}
        environment = os.environ | own | {"CVG_TRACKING": "off", "CVG_WEIGHTS": "none"}
        subprocess.run([*map(str, command)], cwd=ROOT, env=environment, check=True)
    local, by_ray = (tmp_path / name for name in ("local", "ray"))
    assert contents(by_ray / "scores") == contents(local / "scores")
    assert (by_ray / "metrics.json").read_bytes() == (local / "metrics.json").read_bytes()
