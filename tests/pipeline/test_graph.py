"""The stages, read without DVC."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cvg.errors import UserError
from cvg.params import read_tree
from pipeline.graph import read_stages


@pytest.fixture
def stages(root):
    return read_stages(root / "dvc.yaml", read_tree(root / "params.yaml"))


def test_a_stage_comes_after_those_whose_outputs_it_reads(stages):
    written = set()
    made = {out for stage in stages for out in stage.outs}
    for stage in stages:
        for dep in stage.data:
            needed = {out for out in made if f"{out}/".startswith(f"{dep}/") or dep == out}
            assert needed <= written, (stage.name, dep)
        written |= set(stage.outs)


def test_values_of_params_are_filled_in(stages, root):
    by_name = {stage.name: stage for stage in stages}
    top = by_name["train_transformer@top"]
    assert top.words[:3] == ("train-transformer", "--level", "top")
    assert "data/transformer/top" in top.outs
    assert "transformer.top" in top.params
    assert by_name["extract"].words[-1] == "data/frames"
    assert "data/manifest.csv" in by_name["extract"].data
    assert not any("$" in word for stage in stages for word in stage.words)


def test_levels_are_those_of_the_vqgan(root):
    tree = read_tree(root / "params.yaml")
    tree["vqgan"]["levels"] = ["bottom"]
    names = [stage.name for stage in read_stages(root / "dvc.yaml", tree)]
    assert "train_transformer@bottom" in names
    assert "train_transformer@top" not in names


def test_a_path_with_a_blank_stays_one_word(root):
    tree = read_tree(root / "params.yaml")
    tree["extract"]["manifest"] = "my videos/list.csv"
    extract = next(s for s in read_stages(root / "dvc.yaml", tree) if s.name == "extract")
    pairs = dict(itertools.pairwise(extract.words))
    assert pairs["--manifest"] == "my videos/list.csv"


def closure(edges):
    """Give all pairs of a stage and one that comes after it."""
    found = set(edges)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_the_picture_of_the_readme_is_true(stages, root):
    text = (root / "README.md").read_text(encoding="utf-8")
    picture = text.partition("```mermaid\nflowchart LR\n")[2].partition("```")[0]
    labels = dict(re.findall(r'(\w+)\["([^"]+)"\]', picture))
    drawn = set()
    for line in picture.splitlines():
        names = [part.partition("[")[0].strip() for part in line.split("-->")]
        drawn |= set(itertools.pairwise(labels.get(name, name) for name in names))
    makers = {out: stage.name for stage in stages for out in stage.outs}
    real = {
        (maker, stage.name)
        for stage in stages
        for dep in stage.data
        for out, maker in makers.items()
        if f"{dep}/".startswith(f"{out}/") or f"{out}/".startswith(f"{dep}/")
    }
    assert closure(drawn) == closure(real)


@pytest.mark.slow
@pytest.mark.ci
def test_dvc_knows_the_same_stages(stages, root):
    listed = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--dot"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for stage in stages:
        assert f'"{stage.name}"' in listed.stdout
    assert json.dumps(len(stages)) == str(listed.stdout.count('";\n') - listed.stdout.count(" -> "))


def test_without_the_project_it_says_what_is_needed(tmp_path):
    with pytest.raises(UserError, match=r"dvc.yaml: no such file; this command needs the project"):
        read_stages(Path(tmp_path / "dvc.yaml"), {})
