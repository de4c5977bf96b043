"""`cvg figures`: the table in the terminal."""

import json
import os
import subprocess
import sys


def show(tree, folder, root):
    path = folder / "metrics.json"
    path.write_text(json.dumps(tree))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "figures", "--metrics", str(path)],
        cwd=root,
        env=os.environ | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_samples_stand_beside_baselines_and_what_is_absent_is_no_number(tmp_path, root):
    tree = {
        "sample": {"psnr": 19.387, "fvd": 1553.2},
        "baseline": {"repeat_last": {"psnr": 24.084}},
        "vqgan": {"psnr": 22.48},
        "codes": {"top": {"usage": 0.652}},
    }
    lines = show(tree, tmp_path, root).splitlines()
    sample = next(line for line in lines if "Sample" in line)
    repeat = next(line for line in lines if "Repeat last frame" in line)
    assert "19.39" in sample
    assert "1553" in sample
    assert "24.08" in repeat
    assert "-" in repeat.split("24.08")[1]
    assert any("codes.top.usage" in line and "0.652" in line for line in lines)
