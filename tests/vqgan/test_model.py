"""The two levels together, and the model on disk."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from cvg.errors import UserError
from cvg.files import read_json, write_json
from cvg.training.weights import hash_weights, save_model
from cvg.vqgan.model import Codes, Vqgan, load_vqgan, require_same_vqgan, save_vqgan


@pytest.mark.parametrize("level", ["top", "bottom"])
def test_the_commitment_of_each_level_reaches_the_encoder(vqgan, frames, level):
    result = vqgan.train()(frames)
    getattr(result, level).commitment_loss.backward()
    gradients = [parameter.grad.norm() for parameter in vqgan.encoder.parameters()]
    assert min(gradients) > 0


def test_the_picture_loss_reaches_every_parameter(vqgan, frames):
    mse_loss(vqgan.train()(frames).frames, frames).backward()
    idle = [name for name, p in vqgan.named_parameters() if p.grad is None or p.grad.norm() == 0]
    assert idle == []


def test_decoding_the_codes_is_what_training_saw_to_the_bit(vqgan, frames):
    with torch.no_grad():
        result = vqgan(frames)
        codes = vqgan.encode(frames)
        assert torch.equal(vqgan.decode(codes), result.frames)
    assert torch.equal(codes.top, result.top.codes)
    assert torch.equal(codes.bottom, result.bottom.codes)


def test_frames_without_bottom_are_those_of_the_top_codes_alone(vqgan, frames):
    keep = torch.tensor([True, False, True, False, False, True])
    with torch.no_grad():
        mixed = vqgan(frames, keep).frames
        whole = vqgan(frames)
        alone = vqgan.decode_top(whole.top.codes)
    assert torch.equal(mixed[~keep], alone[~keep])
    assert torch.equal(mixed[keep], whole.frames[keep])
    assert not torch.allclose(alone, whole.frames, atol=1e-2)


def test_frames_without_bottom_do_not_feel_the_bottom_codebook(vqgan, frames):
    none = torch.zeros(len(frames), dtype=torch.bool)
    with torch.no_grad():
        before = vqgan(frames, none).frames
        vqgan.bottom_quantizer.codebook.add_(7)
        assert torch.equal(vqgan(frames, none).frames, before)
        assert not torch.equal(vqgan(frames).frames, before)


def test_the_picture_depends_on_both_levels(vqgan, frames, toys):
    codes = vqgan.encode(frames)
    with torch.no_grad():
        frames = vqgan.decode(codes)
        other_top = vqgan.decode(Codes(top=(codes.top + 1) % toys.CODEBOOK, bottom=codes.bottom))
        other_bottom = vqgan.decode(Codes(top=codes.top, bottom=(codes.bottom + 1) % toys.CODEBOOK))
    assert not torch.allclose(other_top, frames, atol=1e-2)
    assert not torch.allclose(other_bottom, frames, atol=1e-2)


def test_codes_do_not_depend_on_the_batch(vqgan, toys):
    frames = toys.toy_frames(40)
    together = vqgan.encode(frames)
    for size in (1, 7):
        apart = [vqgan.encode(part) for part in frames.split(size)]
        assert torch.equal(torch.cat([codes.top for codes in apart]), together.top)
        assert torch.equal(torch.cat([codes.bottom for codes in apart]), together.bottom)


def test_the_grids_have_the_sizes_that_the_shape_says(vqgan, frames):
    codes = vqgan.encode(frames)
    shape = vqgan.shape
    assert codes.top.shape == (6, shape.top_grid, shape.top_grid)
    assert codes.bottom.shape == (6, shape.bottom_grid, shape.bottom_grid)


def test_a_code_changes_its_own_corner_most(vqgan, toys):
    """Rows and columns are not swapped, and nothing is upside down, from grid to picture."""
    top = torch.zeros(1, 2, 2, dtype=torch.int64)
    bottom = torch.zeros(1, 4, 4, dtype=torch.int64)
    other = bottom.clone()
    other[0, 0, 3] = 5
    with torch.no_grad():
        change = vqgan.decode(Codes(top=top, bottom=other)) - vqgan.decode(
            Codes(top=top, bottom=bottom)
        )
    cell = toys.SIZE // 4
    change = change.square().sum(1)[0].unfold(0, cell, cell).unfold(1, cell, cell).sum((2, 3))
    assert change.argmax() == 3


def test_the_hash_changes_with_a_single_weight_or_codebook_vector(vqgan):
    before = hash_weights(vqgan)
    assert hash_weights(vqgan) == before
    with torch.no_grad():
        vqgan.decoder[1][0].bias[0] += 1e-6
    changed = hash_weights(vqgan)
    vqgan.top_quantizer.codebook[0, 0] += 1
    assert len({before, changed, hash_weights(vqgan)}) == 3


def test_a_loaded_model_is_the_saved_one_frozen(vqgan, frames, tmp_path):
    save_vqgan(tmp_path, vqgan)
    loaded, found = load_vqgan(tmp_path)
    assert found == hash_weights(vqgan)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded(frames).frames, vqgan(frames).frames)


def test_changed_weights_are_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    with torch.no_grad():
        vqgan.decoder[1][0].bias[0] += 1
    save_model(tmp_path, vqgan, config)
    with pytest.raises(UserError, match=r"the weights have hash .* run train-vqgan again"):
        load_vqgan(tmp_path)


def test_weights_of_another_shape_are_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    config["shape"]["code_dim"] += 1
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match="not the weights of this model"):
        load_vqgan(tmp_path)


def test_another_kind_of_model_is_refused(vqgan, tmp_path):
    save_model(tmp_path, vqgan, {"kind": "transformer", "shape": {}})
    with pytest.raises(UserError, match="holds a transformer, expected a vqgan"):
        load_vqgan(tmp_path)


def test_codes_of_another_vqgan_are_refused(tmp_path):
    require_same_vqgan("a" * 64, "a" * 64, where=tmp_path)
    with pytest.raises(UserError, match=r"made with VQGAN aaaaaaaaaaaa, .* here is bbbbbbbbbbbb"):
        require_same_vqgan("a" * 64, "b" * 64, where=tmp_path)


@pytest.mark.parametrize("stem", [1, 2, 4])
def test_frames_come_back_in_their_size_with_every_stem(vqgan, toys, stem):
    model = Vqgan(replace(vqgan.shape, stem=stem)).eval()
    assert model(toys.toy_frames(2)).frames.shape == (2, 3, toys.SIZE, toys.SIZE)
