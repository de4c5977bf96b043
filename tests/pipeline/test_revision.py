"""The models of an earlier commit."""

import pytest

from cvg.errors import UserError
from pipeline.revision import fetch_models


def test_a_revision_that_git_does_not_know_is_told(project):
    with pytest.raises(UserError, match=r"calm-fish: no commit, branch, tag or experiment of"):
        fetch_models("calm-fish", project=project)


def test_a_commit_without_models_is_told_and_leaves_nothing(project):
    with pytest.raises(
        UserError, match=r"data/vqgan of \w{7} is not in DVC's cache .* `dvc pull` gets it"
    ):
        fetch_models("HEAD", project=project)
    assert not list((project / ".runs").rglob("params.yaml"))


@pytest.mark.slow
@pytest.mark.ci
def test_the_models_of_a_commit_are_those_that_were_trained_then(chain):
    folder = fetch_models("HEAD", project=chain.folder)
    for name in ("vqgan", "transformer/top", "finetuned/bottom"):
        weights = f"{name}/weights.safetensors"
        assert (folder / weights).read_bytes() == (chain.folder / "data" / weights).read_bytes()
    assert fetch_models("main", project=chain.folder) == folder  # kept
