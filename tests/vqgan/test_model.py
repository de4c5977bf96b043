"""The levels together, and the model on disk."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import mse_loss

from cvg.errors import UserError
from cvg.files import read_json, write_json
from cvg.training.weights import save_model
from cvg.vqgan.model import Vqgan
from cvg.vqgan.store import hash_vqgan, load_vqgan, require_same_vqgan, save_vqgan

LEVELS = [("bottom",), ("top", "bottom"), ("top", "middle", "bottom")]


@pytest.fixture(params=LEVELS, ids=len)
def any_vqgan(request, toys):
    """A VQGAN of one, two or three levels."""
    return toys.toy_vqgan(levels=request.param)


def shortened(codes, count):
    """The codes of the first levels."""
    return dict(list(codes.items())[:count])


def test_the_commitment_of_each_level_reaches_the_encoder(any_vqgan, frames):
    result = any_vqgan.train()(frames)
    for quantized in result.levels.values():
        any_vqgan.zero_grad()
        quantized.commitment_loss.backward(retain_graph=True)
        assert min(parameter.grad.norm() for parameter in any_vqgan.encoder.parameters()) > 0


def test_the_picture_loss_reaches_every_parameter(any_vqgan, frames):
    mse_loss(any_vqgan.train()(frames).frames, frames).backward()
    idle = [
        name for name, p in any_vqgan.named_parameters() if p.grad is None or p.grad.norm() == 0
    ]
    assert idle == []


def test_decoding_the_codes_is_what_training_saw_to_the_bit(any_vqgan, frames):
    with torch.no_grad():
        result = any_vqgan(frames)
        codes = any_vqgan.encode(frames)
        assert torch.equal(any_vqgan.decode(codes), result.frames)
    assert list(codes) == list(any_vqgan.shape.levels)
    assert all(torch.equal(codes[level], result.codes[level]) for level in codes)


def test_frames_of_fewer_levels_are_those_of_their_codes_alone(any_vqgan, frames):
    count = len(any_vqgan.shape.levels)
    depth = torch.arange(len(frames)) % count + 1
    with torch.no_grad():
        mixed = any_vqgan(frames, depth).frames
        codes = any_vqgan.encode(frames)
        prefixes = {k: any_vqgan.decode(shortened(codes, k)) for k in range(1, count + 1)}
    for k, alone in prefixes.items():
        assert torch.equal(mixed[depth == k], alone[depth == k])
        assert k == count or not torch.allclose(alone, prefixes[count], atol=1e-2)


def test_frames_without_bottom_do_not_feel_the_bottom_codebook(vqgan, frames):
    depth = torch.ones(len(frames), dtype=torch.int64)
    with torch.no_grad():
        before = vqgan(frames, depth).frames
        vqgan.quantizers["bottom"].codebook.add_(7)
        assert torch.equal(vqgan(frames, depth).frames, before)
        assert not torch.equal(vqgan(frames).frames, before)


def test_the_picture_depends_on_every_level(any_vqgan, frames, toys):
    codes = any_vqgan.encode(frames)
    with torch.no_grad():
        shown = any_vqgan.decode(codes)
        for level in codes:
            changed = codes | {level: (codes[level] + 1) % toys.CODEBOOK}
            assert not torch.allclose(any_vqgan.decode(changed), shown, atol=1e-2), level


def test_finer_levels_see_what_the_coarser_ones_say(toys, frames):
    vqgan = toys.toy_vqgan(levels=("top", "middle", "bottom"))
    before = vqgan.encode(frames)
    vqgan.quantizers["top"].codebook.neg_()
    after = vqgan.encode(frames)
    assert not torch.equal(before["middle"], after["middle"])
    assert not torch.equal(before["bottom"], after["bottom"])


@pytest.mark.parametrize(
    "given", [(), ("bottom",), ("middle", "bottom"), ("top", "bottom"), ("top", "left")]
)
def test_codes_that_are_no_prefix_of_the_levels_are_refused(toys, frames, given):
    vqgan = toys.toy_vqgan(levels=("top", "middle", "bottom"))
    codes = vqgan.encode(frames)
    with pytest.raises(ValueError, match="expected the first ones of top, middle, bottom"):
        vqgan.decode({level: codes.get(level, codes["top"]) for level in given})


def test_codes_do_not_depend_on_the_batch(any_vqgan, toys):
    frames = toys.toy_frames(40)
    together = any_vqgan.encode(frames)
    for size in (1, 7):
        apart = [any_vqgan.encode(part) for part in frames.split(size)]
        for level in together:
            assert torch.equal(torch.cat([codes[level] for codes in apart]), together[level])


def test_the_grids_have_the_sizes_that_the_shape_says(any_vqgan, frames):
    sizes = [any_vqgan.shape.grid(level) for level in any_vqgan.shape.levels]
    assert sizes == {1: [4], 2: [2, 4], 3: [2, 4, 8]}[len(sizes)]
    for codes, size in zip(any_vqgan.encode(frames).values(), sizes, strict=True):
        assert codes.shape == (6, size, size)


def test_a_code_changes_its_own_corner_most(vqgan, toys):
    """Rows and columns are not swapped, and nothing is upside down, from grid to picture."""
    codes = {
        "top": torch.zeros(1, 2, 2, dtype=torch.int64),
        "bottom": torch.zeros(1, 4, 4, dtype=torch.int64),
    }
    other = codes["bottom"].clone()
    other[0, 0, 3] = 5
    with torch.no_grad():
        change = vqgan.decode(codes | {"bottom": other}) - vqgan.decode(codes)
    cell = toys.SIZE // 4
    change = change.square().sum(1)[0].unfold(0, cell, cell).unfold(1, cell, cell).sum((2, 3))
    assert change[:2, 2:].sum() > 0.7 * change.sum()


def test_the_hash_changes_with_a_single_weight_or_codebook_vector(vqgan):
    before = hash_vqgan(vqgan)
    assert hash_vqgan(vqgan) == before
    with torch.no_grad():
        vqgan.last_layer[0, 0, 0, 0] += 1e-6
    changed = hash_vqgan(vqgan)
    vqgan.quantizers["top"].codebook[0, 0] += 1
    assert len({before, changed, hash_vqgan(vqgan)}) == 3


def test_a_loaded_model_is_the_saved_one_frozen(any_vqgan, frames, tmp_path):
    vqgan = any_vqgan
    save_vqgan(tmp_path, vqgan)
    loaded, found = load_vqgan(tmp_path)
    assert found == hash_vqgan(vqgan)
    assert loaded.shape == vqgan.shape
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.equal(loaded(frames).frames, vqgan(frames).frames)


def test_changed_weights_are_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    with torch.no_grad():
        vqgan.last_layer[0, 0, 0, 0] += 1
    save_model(tmp_path, vqgan, config)
    with pytest.raises(UserError, match=r"weights and shape have hash .* run train-vqgan again"):
        load_vqgan(tmp_path)


def test_weights_of_another_shape_are_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    config["shape"]["quantizer"]["code_dim"] += 1
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match="not the weights of this model"):
        load_vqgan(tmp_path)


def test_a_changed_shape_is_refused_even_if_the_weights_fit(toys, tmp_path):
    vqgan = Vqgan(toys.toy_shape(kind="fsq", code_dim=2)).eval()
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    config["shape"]["quantizer"]["fsq_levels"] = [4, 3]
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match="not what was written together with"):
        load_vqgan(tmp_path)


def test_the_shape_of_an_older_version_is_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    del config["shape"]["levels"]
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match=r"config.json: describes no vqgan .* run train-vqgan"):
        load_vqgan(tmp_path)


def test_a_shape_that_contradicts_itself_is_refused(vqgan, tmp_path):
    save_vqgan(tmp_path, vqgan)
    config = read_json(tmp_path / "config.json")
    config["shape"]["quantizer"] |= {"kind": "fsq", "codebook_size": 5}
    write_json(tmp_path / "config.json", config)
    with pytest.raises(UserError, match=r"codebook_size is 5, expected .*; run train-vqgan"):
        load_vqgan(tmp_path)


def test_another_kind_of_model_is_refused(vqgan, tmp_path):
    save_model(tmp_path, vqgan, {"kind": "transformer", "shape": {}})
    with pytest.raises(UserError, match="holds a transformer, expected a vqgan"):
        load_vqgan(tmp_path)


def test_codes_of_another_vqgan_are_refused(tmp_path):
    require_same_vqgan("a" * 64, "a" * 64, where=tmp_path)
    with pytest.raises(UserError, match=r"made with VQGAN aaaaaaaaaaaa, .* here is bbbbbbbbbbbb"):
        require_same_vqgan("a" * 64, "b" * 64, where=tmp_path)


@pytest.mark.parametrize(("stem", "halvings"), [(1, 1), (2, 1), (4, 1), (1, 2), (1, 3), (2, 2)])
def test_frames_come_back_in_their_size_with_every_stem(vqgan, toys, stem, halvings):
    model = Vqgan(replace(vqgan.shape, levels=("bottom",), stem=stem, halvings=halvings)).eval()
    result = model(toys.toy_frames(2))
    assert result.frames.shape == (2, 3, toys.SIZE, toys.SIZE)
    grid = toys.SIZE // (stem * 2**halvings)
    assert result.codes["bottom"].shape == (2, grid, grid)
