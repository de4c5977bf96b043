"""A network that is compiled trains as it does otherwise."""

import csv
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOYS = runpy.run_path(str(Path(__file__).parents[1] / "toys.py"))
SMALL = {
    "extract.frame_size": 16,
    "vqgan.width": 8,
    "vqgan.stem": 2,
    "vqgan.codebook_size": 12,
    "vqgan.comparator": "none",
    "vqgan.shift": 2,
    "vqgan.steps": 4,
    "vqgan.batch_size": 4,
    "vqgan.warmup_steps": 1,
    "vqgan.validate_every": 2,
    # Its adaptive weight keeps the graph for two gradients.
    "vqgan.discriminator.enabled": "true",
    "vqgan.discriminator.width": 8,
    "vqgan.discriminator.start_step": 1,
}


def last_row(root, folder, *, compiled):
    """Train a tiny VQGAN in a process of its own; give the last row of its curves."""
    plot = folder / f"plot-{compiled}.csv"
    command = [sys.executable, "-m", "pipeline", "train-vqgan", "--frames", folder / "frames"]
    command += ["--out", folder / f"out-{compiled}", "--plot", plot]
    for key, value in SMALL.items():
        command += ["--set", f"{key}={value}"]
    settings = {"CVG_COMPILE": compiled, "CVG_STATE_DIR": str(folder), "CVG_TRACKING": "off"}
    subprocess.run([str(word) for word in command], cwd=root, env=os.environ | settings, check=True)
    with plot.open() as file:
        row = list(csv.DictReader(file))[-1]
    return {name: float(value) for name, value in row.items()}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler")
def test_compilation_changes_rounding_and_nothing_else(root, tmp_path):
    TOYS["write_frames"](tmp_path / "frames")
    plain = last_row(root, tmp_path, compiled="0")
    assert "adversarial" in plain
    assert last_row(root, tmp_path, compiled="1") == pytest.approx(plain, rel=1e-3)
