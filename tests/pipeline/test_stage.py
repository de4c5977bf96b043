"""What all stages share."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from cvg.errors import UserError
from cvg.interrupts import Interrupted
from pipeline.stage import resolve_paths, stage_run
from pipeline.train_transformer import LevelChoice, train_transformer
from pipeline.train_vqgan import train_vqgan


@pytest.fixture(autouse=True)
def _inside_the_project(root, monkeypatch):
    monkeypatch.chdir(root)


def test_paths_are_those_of_dvc_yaml():
    paths = resolve_paths("tokenize", {"frames": None, "vqgan": None, "out": None})
    assert paths == {
        "frames": Path("data/frames"),
        "vqgan": Path("data/vqgan"),
        "out": Path("data/codes"),
    }


def test_given_path_wins():
    paths = resolve_paths("tokenize", {"frames": Path("mine"), "out": None})
    assert paths == {"frames": Path("mine"), "out": Path("data/codes")}


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_paths_of_a_level_are_its_own(level):
    paths = resolve_paths("train-transformer", {"out": None, "plot": None}, level=level)
    assert paths == {
        "out": Path("data/transformer") / level,
        "plot": Path(f"reports/plots/transformer_{level}.csv"),
    }


def test_path_that_is_a_parameter_is_looked_up():
    assert resolve_paths("extract", {"manifest": None}) == {"manifest": Path("data/manifest.csv")}


def test_other_values_need_another_place():
    with pytest.raises(UserError, match="give --out too"):
        resolve_paths("tokenize", {"out": None}, overrides=["tokenize.batch_size=1"])
    paths = resolve_paths("tokenize", {"out": Path("mine")}, overrides=["tokenize.batch_size=1"])
    assert paths == {"out": Path("mine")}


def test_path_that_nobody_names_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"cvg tokenize: give --out PATH --frames PATH"):
        resolve_paths("tokenize", {"out": None, "frames": None})


def run_of(name, *overrides, sections=(), out="out"):
    """Open a stage on the committed parameters."""
    return stage_run(
        name,
        sections=sections,
        params_path=Path("params.yaml"),
        overrides=overrides,
        out=Path(out),
    )


def test_an_output_has_one_writer_and_a_signal_ends_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("cvg.locks.SECONDS_TO_WAIT", 0.0)
    with run_of("extract"):
        with pytest.raises(UserError, match="out: another sample is writing it"), run_of("sample"):
            pass
        with run_of("sample", out="elsewhere"):
            pass
    with pytest.raises(Interrupted), run_of("extract"):
        os.kill(os.getpid(), signal.SIGTERM)
    with run_of("extract"):
        pass


def test_stage_that_concludes_says_what_it_wrote(capsys):
    with run_of("extract") as run:
        run.conclude(Path("data/frames"), {"videos_used": 3})
    out = capsys.readouterr().out
    assert out.startswith("extract: wrote data/frames in 0 s")
    assert "videos_used 3" in out


def test_stage_records_the_values_of_its_sections_only(monkeypatch):
    seen, every = {}, {}

    def open_tracker(_stage, *, params, all_params):
        seen.update(params)
        every.update(all_params)
        raise UserError("enough")

    monkeypatch.setattr("cvg.tracking.open_tracker", open_tracker)
    sections = ["seed", "transformer.top"]
    with (
        pytest.raises(UserError, match="enough"),
        run_of("x", "seed=5", sections=sections),
    ):
        pass
    assert seen["seed"] == 5
    assert {key.rpartition(".")[0] for key in seen} == {"", "transformer.top"}
    assert "lr" not in seen
    assert "lr" in every
    assert "vqgan.width" in every


def test_a_stage_without_memory_names_its_batch_size_and_what_to_lower():
    with pytest.raises(UserError) as caught, run_of("train_vqgan", sections=["vqgan"]):
        torch.empty(1 << 55, dtype=torch.uint8)
    said = str(caught.value)
    assert "train_vqgan: the memory of this machine is not enough" in said
    assert "vqgan.batch_size " in said
    assert "raise accumulate" in said
    assert str(1 << 55) in said
    with pytest.raises(RuntimeError, match="shapes"), run_of("train_vqgan"):
        raise RuntimeError("shapes differ")


@pytest.fixture
def workspace_of(monkeypatch, tmp_path):
    """Give the folder that a stage would work in, with some values and inputs."""
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path))

    def folder(*overrides, data="abc", **others):
        with (
            run_of("train_vqgan", *overrides, sections=["seed", "vqgan"]) as run,
            run.workspace(data=data, **others) as workspace,
        ):
            return workspace.folder

    return folder


def test_an_unfinished_run_is_found_by_all_that_shapes_it(workspace_of, monkeypatch):
    folders = [
        workspace_of(),
        workspace_of("seed=5"),
        workspace_of("vqgan.patience=3"),
        workspace_of(data="abd"),
        workspace_of(comparator="none"),
        workspace_of(comparator="alex"),
    ]
    monkeypatch.setenv("CVG_PRECISION", "bf16")
    folders.append(workspace_of())
    assert len(set(folders)) == len(folders)
    monkeypatch.delenv("CVG_PRECISION")
    assert workspace_of() == folders[0]
    assert workspace_of("sample.clips=1") == folders[0]  # the stage does not obey it


def test_surroundings_are_those_of_the_parameters_and_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("CVG_PRECISION", "bf16")
    with (
        run_of("x", "seed=5", "lr=0.5") as run,
        run.workspace(data="abc") as workspace,
    ):
        around = run.surroundings(0.1, workspace)
    assert (around.seed, around.learning_rate) == (5, pytest.approx(0.05))
    assert around.runtime.precision == "bf16"
    assert around.checkpoints.folder == workspace.folder / "checkpoints"


@pytest.mark.parametrize(
    ("train", "reads"),
    [(train_vqgan, "frames"), (partial(train_transformer, LevelChoice.top), "codes")],
    ids=["vqgan", "transformer"],
)
def test_a_foreign_output_is_refused_before_anything_is_read_or_trained(tmp_path, train, reads):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    with pytest.raises(UserError, match=r"mine: holds files, but no config\.json"):
        train(**{reads: tmp_path / "nowhere"}, out=tmp_path / "mine")
