"""Which transformers are taken where there are tuned ones."""

import json

import pytest

from cvg.errors import UserError
from cvg.sampling.models import FINETUNING, hash_transformers, newest_transformers

LEVELS = ("top", "bottom")


def write(folder, content):
    for level in LEVELS:
        (folder / level).mkdir(parents=True, exist_ok=True)
        (folder / level / "weights.safetensors").write_text(f"{level} {content}")


def tune(root):
    write(root / "finetuned", "tuned")
    made_of = hash_transformers(root / "transformer", LEVELS)
    (root / "finetuned" / FINETUNING).write_text(json.dumps({"made_of": made_of}))


def test_tuned_ones_are_taken_where_there_are_any(tmp_path):
    write(tmp_path / "transformer", "first")
    assert newest_transformers(tmp_path) == tmp_path / "transformer"
    tune(tmp_path)
    assert newest_transformers(tmp_path) == tmp_path / "finetuned"


def test_those_that_were_made_of_others_are_refused(tmp_path):
    write(tmp_path / "transformer", "first")
    tune(tmp_path)
    write(tmp_path / "transformer", "trained again")
    with pytest.raises(UserError, match="made of other transformers than those in"):
        newest_transformers(tmp_path)


def test_they_may_stand_without_those_they_were_made_of(tmp_path):
    write(tmp_path / "transformer", "first")
    tune(tmp_path)
    for level in LEVELS:
        (tmp_path / "transformer" / level / "weights.safetensors").unlink()
    assert newest_transformers(tmp_path) == tmp_path / "finetuned"
