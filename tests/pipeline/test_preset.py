"""`cvg preset`."""

import re
import shutil
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from cvg.errors import UserError
from cvg.params import load_params
from pipeline.preset import preset

APP = Typer()
APP.command()(preset)


@pytest.fixture
def home(root, tmp_path, monkeypatch):
    """A folder with the parameters and presets of the project, as the current folder."""
    shutil.copytree(root / "presets", tmp_path / "presets")
    shutil.copy(root / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(APP, list(words), catch_exceptions=False).output


def test_demo_changes_nothing_in_the_committed_parameters(home):
    before = (home / "params.yaml").read_bytes()
    assert "0 values changed" in run("demo")
    assert (home / "params.yaml").read_bytes() == before


def test_demo_goes_back_from_quick_to_the_byte(home):
    before = (home / "params.yaml").read_bytes()
    run("quick")
    assert (home / "params.yaml").read_bytes() != before
    run("demo")
    assert (home / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("name", ["large", "huge"])
def test_demo_goes_back_from_others_with_every_comment(home, name):
    before = (home / "params.yaml").read_text()
    run(name)
    run("demo")
    # A value that was long moves the comment behind it.
    after = (home / "params.yaml").read_text()
    assert re.sub(" +#", " #", after) == re.sub(" +#", " #", before)


def test_values_that_a_preset_does_not_name_stay(home):
    path = home / "params.yaml"
    path.write_text(path.read_text().replace("seed: 0 ", "seed: 7 "))
    run("quick")
    assert load_params(path).seed == 7
    assert load_params(path).extract.frame_size == 32


def test_every_change_is_told(home):
    assert "vqgan.comparator: alex -> vgg" in run("large")


@pytest.mark.parametrize("name", ["large", "huge"])
def test_overrides_are_one_line_of_options_that_say_the_same(home, name):
    before = (home / "params.yaml").read_bytes()
    line = run(name, "--overrides")
    assert line.count("\n") == 1
    words = line.split()  # as the shell takes $(cvg preset ... --overrides) apart
    assert set(words[::2]) == {"-S"}
    assert (home / "params.yaml").read_bytes() == before
    overridden = load_params(home / "params.yaml", words[1::2])
    run(name)
    assert load_params(home / "params.yaml") == overridden


def test_unknown_preset_lists_those_that_exist(home):
    with pytest.raises(UserError, match=r"tiny\.yaml.* there are: demo, huge, large, quick"):
        run("tiny")


def test_result_is_checked_before_it_is_written(home):
    Path("presets/wrong.yaml").write_text("seed: 3\nvqgan:\n  stem: 3\n")
    before = (home / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=r"vqgan\.stem"):
        run("wrong")
    assert (home / "params.yaml").read_bytes() == before
