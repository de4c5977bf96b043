"""What was embedded once is not embedded again, in this process and in the next."""

from dataclasses import replace

import numpy as np
import pytest

from cvg.metrics.features import FeatureCache, FeatureNetwork, frame_feature_network
from cvg.metrics.scores import Network
from cvg.pretrained.lpips import untrained_lpips


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
            clips_at_once=4,
        )
        return network, asked

    return make


def test_what_was_embedded_together_is_embedded_once_whatever_set_it_is_in(make, clips):
    network, asked = make()
    cache = FeatureCache()
    whole = cache.embed(network, clips)
    assert asked == [4] * 5
    some = cache.embed(network, np.concatenate([clips[8:16], clips[:4]]))
    assert (some == np.concatenate([whole[8:16], whole[:4]])).all()
    assert sum(asked) == 20
    clips[7, 2, 0, 0, 0] += 1
    cache.embed(network, clips)
    assert asked == [4] * 6


def test_features_are_those_of_an_empty_folder_whatever_was_seen_before(make, clips, tmp_path):
    """Of a network whose last bits depend on what is embedded together, as true ones do."""
    network, _ = make()
    together = replace(network, embed=lambda some: network.embed(some) + len(some) + some.mean())
    expected = FeatureCache(tmp_path / "empty").embed(together, clips)
    seen = FeatureCache(tmp_path / "seen")
    for some in (clips[:3], clips[5:6], clips[::-1], clips[4:12]):
        seen.embed(together, some)
    assert (seen.embed(together, clips) == expected).all()


def test_features_of_another_machine_are_not_taken(monkeypatch):
    lpips = untrained_lpips("alex")
    here = frame_feature_network(lpips).version
    assert frame_feature_network(lpips).version == here
    monkeypatch.setattr("cvg.training.runtime._processor", lambda _: "another")
    assert frame_feature_network(lpips).version != here


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
    network, _ = make(per_frame=True)
    rows = network.vectors(FeatureCache().embed(network, clips), frames=3)
    assert rows.shape == (60, 1)
    assert rows[3 * 7 + 2, 0] == pytest.approx(clips[7, 2].mean(), rel=1e-5)


@pytest.mark.weights
def test_features_of_a_frame_are_those_of_the_trunk(alex, real_clips):
    network = frame_feature_network(alex)
    rows = network.vectors(FeatureCache().embed(network, real_clips), frames=9)
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
