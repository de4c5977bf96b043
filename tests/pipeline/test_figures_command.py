"""`cvg figures`: the table in the terminal."""

import json
import os
import subprocess
import sys

from pipeline.figures import figures


def show(tree, folder, root, *, columns=160):
    path = folder / "metrics.json"
    path.write_text(json.dumps(tree))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "figures", "--metrics", str(path)],
        cwd=root,
        env=os.environ | {"COLUMNS": str(columns)},
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


def test_a_terminal_of_80_letters_shows_all_digits_and_no_empty_row(tmp_path, root):
    names = ("psnr", "ssim", "lpips", "fvd", "kvd", "motion_distance", "repeated", "copied")
    figures = {name: 1234.5 + number for number, name in enumerate(names)}
    shown = show({"sample": figures, "baseline": {"nearest": figures}}, tmp_path, root, columns=80)
    assert "…" not in shown
    assert "Cross-fade" not in shown
    lines = [line for line in shown.splitlines() if "Sample" in line]
    assert sum(line.count("12") for line in lines) == len(names)


def test_it_says_whether_the_figures_are_the_committed_ones(project, monkeypatch, capsys):
    path = project / "reports/new.json"

    def said(tree):
        path.write_text(json.dumps(tree))
        figures(path)
        return " ".join(capsys.readouterr().out.split())

    tree = {"sample": {"psnr": 19.0, "fvd": 1500.0}}
    assert "last commit" not in said(tree)
    git = ["git", "-C", project, "-c", "user.name=x", "-c", "user.email=x@y"]
    subprocess.run([*git, "add", "--force", path], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "figures"], check=True)
    assert "All 2 figures are those of the last commit." in said(tree)
    changed = said({"sample": {"psnr": 19.0, "fvd": 1450.0}})
    assert "1 of 2 figures are not those of the last commit" in changed
    assert "sample.fvd: 1500 -> 1450" in changed
