"""A transformer on disk."""

import pytest
import torch

from cvg.conditions.batch import Conditions
from cvg.errors import UserError
from cvg.files import read_json, write_json
from cvg.transformer.store import TrainedTransformer, load_transformer, save_transformer


@pytest.fixture
def saved(toys, layout, tmp_path):
    model = toys.toy_transformer(layout).float()
    trained = TrainedTransformer(model=model, conditioning=toys.CONDITIONING, vqgan_hash="toy")
    save_transformer(tmp_path, trained)
    return trained


def test_what_was_saved_comes_back_frozen(saved, layout, conditions, make_sequence, tmp_path):
    loaded = load_transformer(tmp_path)
    sequence = make_sequence(layout)
    conditions = Conditions(
        prefix=conditions.prefix, actions=conditions.actions.float(), maps=conditions.maps.float()
    )
    assert torch.equal(loaded.model(sequence, conditions), saved.model(sequence, conditions))
    assert loaded.conditioning == saved.conditioning
    assert loaded.vqgan_hash == "toy"
    assert loaded.model.layout == layout
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_another_kind_of_model_is_refused(saved, tmp_path):
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | {"kind": "vqgan"})
    with pytest.raises(UserError, match="holds a vqgan, expected a transformer"):
        load_transformer(tmp_path)


@pytest.mark.parametrize("part", ["conditioning", "shape", "grids", "vqgan"])
def test_a_transformer_of_an_earlier_version_is_refused(saved, tmp_path, part):
    config = read_json(tmp_path / "config.json")
    config.pop(part)
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match=r"of this version of the program .*run train-transformer"):
        load_transformer(tmp_path)


def test_weights_of_another_shape_are_refused(saved, tmp_path):
    config = read_json(tmp_path / "config.json")
    config["shape"]["layers"] += 1
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match="not the weights of this model"):
        load_transformer(tmp_path)
