"""What was embedded once is not embedded again, in this process and in the next."""

from dataclasses import replace

import numpy as np
import pytest

from cvg.metrics.features import FeatureCache, FeatureNetwork, frame_feature_network
from cvg.metrics.scores import Network


@pytest.fixture
def clips():
    return np.random.default_rng(0).integers(0, 256, (20, 3, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def make():
    """A network of three numbers a clip, or of one a frame, that counts what it is asked."""

    def make(*, per_frame=False, name="toy"):
        asked = []

        def embed(clips):
            asked.append(len(clips))
            return clips.astype(np.float32).mean(axis=(2, 3, 4))

        network = FeatureNetwork(
            network=Network(name=name, weights_sha256="ab" * 32),
            embed=embed,
            min_frames=1,
            resize="none",
            per_frame=per_frame,
        )
        return network, asked

    return make


def test_a_clip_is_embedded_once_whatever_set_it_is_in(make, clips):
    network, asked = make()
    cache = FeatureCache()
    whole = cache.embed(network, clips)
    assert sum(asked) == 20
    some = cache.embed(network, clips[5:15][::-1])
    assert sum(asked) == 20
    assert (some == whole[5:15][::-1]).all()
    clips[7, 2, 0, 0, 0] += 1
    cache.embed(network, clips)
    assert sum(asked) == 21


def test_the_next_process_finds_them_on_disk(make, clips, tmp_path):
    network, _ = make()
    before = FeatureCache(tmp_path).embed(network, clips)
    network, asked = make()
    assert (FeatureCache(tmp_path).embed(network, clips) == before).all()
    assert asked == []
    other, asked = make(name="other")
    FeatureCache(tmp_path).embed(other, clips)
    assert sum(asked) == 20


def test_a_damaged_file_is_computed_again(make, clips, tmp_path):
    network, _ = make()
    before = FeatureCache(tmp_path).embed(network, clips)
    for number, path in enumerate(sorted(tmp_path.rglob("*.npy"))):
        path.write_bytes(b"" if number % 2 else path.read_bytes()[:-3])
    network, asked = make()
    assert (FeatureCache(tmp_path).embed(network, clips) == before).all()
    assert sum(asked) == 20


def test_a_new_version_of_the_code_embeds_anew(make, clips, tmp_path):
    network, _ = make()
    FeatureCache(tmp_path).embed(network, clips)
    network, asked = make()
    FeatureCache(tmp_path).embed(replace(network, version="2"), clips)
    assert sum(asked) == 20


def test_a_folder_that_cannot_be_written_is_warned_of_once(make, clips, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    cache = FeatureCache(tmp_path / "file")
    network, asked = make()
    for _ in range(2):
        cache.embed(network, clips)
    assert sum(asked) == 20
    assert capsys.readouterr().err.count("features cannot be kept") == 1


def test_what_is_on_disk_is_not_kept_in_memory(make, clips, tmp_path):
    cache = FeatureCache(tmp_path)
    cache.embed(make()[0], clips)
    assert cache.features == {}


def test_networks_of_frames_give_a_row_a_frame(make, clips):
    rows = FeatureCache().embed(make(per_frame=True)[0], clips)
    assert rows.shape == (60, 1)
    assert rows[3 * 7 + 2, 0] == pytest.approx(clips[7, 2].mean(), rel=1e-5)


@pytest.mark.weights
def test_features_of_a_frame_are_those_of_the_trunk(alex, real_clips):
    network = frame_feature_network(alex)
    rows = FeatureCache().embed(network, real_clips)
    assert rows.shape == (36, 256)
    import torch
    import torchvision

    trunk = torchvision.models.alexnet(weights=None).features
    trunk.load_state_dict(alex.trunk.state_dict())
    frame = torch.from_numpy(real_clips[2, 4]).permute(2, 0, 1)[None] / 255
    normal = (frame - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    expected = trunk[:12](normal).mean((2, 3))[0].detach().numpy()
    np.testing.assert_allclose(rows[2 * 9 + 4], expected, atol=2e-3)
