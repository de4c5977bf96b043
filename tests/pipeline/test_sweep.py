"""`cvg sweep`: what it makes of its options and of what DVC says."""

import json

import pytest
from typer.testing import CliRunner

from cvg.errors import UserError
from pipeline import sweep as module
from pipeline.__main__ import app


@pytest.fixture
def dvc(monkeypatch):
    """A DVC that names experiments by number, and fails to run the second."""
    queued = []

    def answer(*words):
        if words[:2] == ("exp", "run"):
            queued.append(words)
            return f"Queued experiment 'exp-{len(queued)}' for future execution.\n"
        assert words[:2] == ("exp", "show")
        revs = [
            {
                "revs": [
                    {
                        "name": f"exp-{number}",
                        "rev": "abc",
                        "data": {"metrics": {module.METRICS: {"data": figures}}},
                    }
                ]
            }
            for number, figures in ((1, {"sample": {"psnr": 19.25}}), (2, None))
        ]
        return json.dumps([{"rev": "workspace"}, {"rev": "main", "experiments": revs}])

    monkeypatch.setattr(module, "_dvc", answer)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: None)
    return queued


def sweep(*words):
    return CliRunner().invoke(app, ["sweep", *words], env={"COLUMNS": "120"})


def test_each_combination_is_queued_and_stands_in_the_table(dvc):
    result = sweep("-S", "lr=1e-3,2e-3", "-S", "seed=4", "--figure", "sample.psnr")
    assert [words[3:] for words in dvc] == [
        ("-S", "lr=1e-3", "-S", "seed=4"),
        ("-S", "lr=2e-3", "-S", "seed=4"),
    ]
    first = next(line for line in result.stdout.splitlines() if "exp-1 " in line and "│" in line)
    assert "1e-3" in first
    assert "19.25" in first


def test_an_experiment_without_figures_has_failed(dvc):
    result = sweep("-S", "lr=1e-3,2e-3")
    assert isinstance(result.exception, UserError)
    assert str(result.exception).startswith("exp-2: no figures, so it failed; look at `dvc queue")


@pytest.mark.parametrize("text", ["lr", "lr=", "=1"])
def test_what_is_no_list_of_values_is_refused(dvc, text):
    result = sweep("-S", text)
    assert isinstance(result.exception, UserError)
    assert "expected key=value,value" in str(result.exception)
    assert dvc == []
