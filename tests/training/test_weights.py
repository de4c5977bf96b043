"""Weights on disk and their hash."""

import pytest
import torch
from torch import nn

from cvg.errors import UserError
from cvg.files import read_json, write_json
from cvg.training.weights import (
    CONFIG,
    WEIGHTS,
    hash_weights,
    load_weights,
    reading_config,
    save_model,
)


class Model(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.linear = nn.Linear(width, 2)
        self.register_buffer("ready", torch.tensor(False))
        self.register_buffer("short", torch.ones(2, dtype=torch.bfloat16))


def test_weights_buffers_and_configuration_come_back(tmp_path):
    model = Model()
    model.ready.fill_(True)
    save_model(tmp_path, model, {"kind": "toy", "width": 3})
    loaded = Model()
    load_weights(tmp_path, loaded)
    with reading_config(tmp_path, "toy", stage="train") as config:
        assert config["width"] == 3
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert hash_weights(loaded) == hash_weights(model)


def test_nothing_but_safetensors_and_json_is_written(tmp_path):
    save_model(tmp_path, Model(), {})
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "config.json"}
    assert (tmp_path / "weights.safetensors").read_bytes()[8:9] == b"{"


def test_the_same_weights_give_the_same_bytes(tmp_path):
    model = Model()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name, model, {"width": 3})
    one, two = ((tmp_path / n / "weights.safetensors").read_bytes() for n in ("one", "two"))
    assert one == two


def test_missing_damaged_and_foreign_weights_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"weights\.safetensors: no such file; run the stage"):
        load_weights(tmp_path, Model())
    save_model(tmp_path, Model(), {})
    with pytest.raises(UserError, match="not the weights of this model"):
        load_weights(tmp_path, Model(width=4))
    with pytest.raises(UserError, match="not the weights of this model"):
        load_weights(tmp_path, nn.Linear(3, 2))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="not the weights of this model"):
        load_weights(tmp_path, Model())
    with (
        pytest.raises(UserError, match=r"config\.json: no such file"),
        reading_config(tmp_path / "elsewhere", "toy", stage="x"),
    ):
        pass


@pytest.mark.parametrize("changed", ["weights", "configuration"])
def test_a_changed_bit_and_a_changed_value_are_refused(tmp_path, changed):
    save_model(tmp_path, nn.Linear(3, 2), {"kind": "toy", "names": ["a", "b"]})
    if changed == "weights":
        content = bytearray((tmp_path / WEIGHTS).read_bytes())
        content[-1] ^= 1  # still a number
        (tmp_path / WEIGHTS).write_bytes(content)
    else:
        config = read_json(tmp_path / CONFIG)
        write_json(tmp_path / CONFIG, config | {"names": ["a", "c"]})
    with pytest.raises(UserError, match="not what was written together with"):
        load_weights(tmp_path, nn.Linear(3, 2))


def test_the_hash_knows_values_names_shapes_and_types():
    def model(values, name="a"):
        built = nn.Module()
        built.register_buffer(name, values)
        return built

    ones = torch.ones(2, 3)
    variants = [
        model(ones),
        model(ones, name="b"),
        model(ones.reshape(3, 2)),
        model(ones.double()),
        model(torch.ones(2, 3) + 1e-7),
    ]
    assert len({hash_weights(variant) for variant in variants}) == len(variants)
    assert hash_weights(model(torch.ones(3, 2).T)) == hash_weights(model(ones))


def test_another_kind_and_a_field_that_is_missing_are_refused(tmp_path):
    save_model(tmp_path, Model(), {"kind": "toy"})
    with (
        pytest.raises(UserError, match="holds a toy, expected a vqgan"),
        reading_config(tmp_path, "vqgan", stage="train-vqgan"),
    ):
        pass
    with (
        pytest.raises(UserError, match=r"describes no toy of this version .*'width'.* run train"),
        reading_config(tmp_path, "toy", stage="train") as config,
    ):
        config["width"]
