"""What all stages share."""

from pathlib import Path

import pytest

from cvg.errors import UserError
from pipeline.stage import resolve_paths, stage_run


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


def test_stage_that_concludes_says_what_it_wrote(capsys):
    with stage_run("extract", sections=[], params_path=Path("params.yaml"), overrides=None) as run:
        run.conclude(Path("data/frames"), {"videos_used": 3})
    out = capsys.readouterr().out
    assert out.startswith("extract: wrote data/frames in 0 s")
    assert "videos_used 3" in out


def test_stage_records_the_values_of_its_sections_only(monkeypatch):
    seen = {}

    def open_tracker(_stage, *, params):
        seen.update(params)
        raise UserError("enough")

    monkeypatch.setattr("cvg.tracking.open_tracker", open_tracker)
    sections = ["seed", "transformer.top"]
    with (
        pytest.raises(UserError, match="enough"),
        stage_run("x", sections=sections, params_path=Path("params.yaml"), overrides=["seed=5"]),
    ):
        pass
    assert seen["seed"] == 5
    assert {key.rpartition(".")[0] for key in seen} == {"", "transformer.top"}
    assert "lr" not in seen
