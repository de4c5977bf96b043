import io
import json
from dataclasses import replace

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cvg.metrics.baselines import repeat_last, shuffle_frames
from cvg.metrics.evaluate import evaluate_clips, evaluate_sets
from cvg.metrics.features import FeatureCache, FeatureNetwork, frame_feature_network
from cvg.metrics.frechet import frechet_distance
from cvg.metrics.measure import Meter, joined
from cvg.metrics.networks import Networks, load_networks
from cvg.metrics.perceptual import lpips_distance
from cvg.metrics.pixels import psnr
from cvg.metrics.scores import Network


def noisy(clips, sigma):
    noise = np.random.default_rng(0).normal(0, sigma, clips.shape)
    return np.clip(clips + noise, 0, 255).round().astype(np.uint8)


def blurred(clips, radius):
    return gaussian_filter(clips.astype(float), (0, 0, radius, radius, 0)).round().astype(np.uint8)


def compressed(clips):
    """What mp4 makes of each clip."""
    return np.stack([decode(encode(clip)) for clip in clips])


def encode(clip):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = clip.shape[2], clip.shape[1], "yuv420p"
        for frame in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode(content):
    with av.open(io.BytesIO(content)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


@pytest.fixture
def toy_network():
    """Mean and deviation of each frame, and how often it was asked."""
    calls = []

    def embed(clips):
        calls.append(len(clips))
        values = clips.astype(float)
        parts = [values.mean(axis=(2, 3, 4)), values.std(axis=(2, 3, 4))]
        return np.concatenate(parts, axis=1)

    network = FeatureNetwork(
        network=Network(name="toy", weights_sha256="ab" * 32),
        embed=embed,
        min_frames=9,
        resize="none",
    )
    return network, calls


def test_paired_figures_look_at_the_predicted_frames_alone(real_clips, protocol):
    generated = real_clips.copy()
    generated[:, :3] = 0
    perfect = evaluate_clips(
        real_clips, generated, protocol=protocol, networks=Networks(), cache=FeatureCache()
    )
    assert perfect.scores["psnr"].value == 100
    assert perfect.horizon["psnr"] == [100] * 6
    generated[1, 5] = 0
    spoilt = evaluate_clips(
        real_clips, generated, protocol=protocol, networks=Networks(), cache=FeatureCache()
    )
    assert [value < 100 for value in spoilt.horizon["psnr"]] == [False, False, True] + [False] * 3
    assert [value < 100 for value in spoilt.per_clip["psnr"]] == [False, True, False, False]
    expected = psnr(real_clips[:, 3:], generated[:, 3:]).mean()
    assert spoilt.scores["psnr"].value == pytest.approx(expected)
    assert spoilt.scores["psnr"].scored_frames == "predicted"


def test_the_frechet_distance_sees_the_context_too(real_clips, protocol, toy_network):
    generated = real_clips.copy()
    generated[:, :3] = 0
    found = evaluate_clips(
        real_clips,
        generated,
        protocol=protocol,
        networks=Networks(features=toy_network[0]),
        cache=FeatureCache(),
    ).scores["fvd_toy"]
    embed = toy_network[0].embed
    assert found.value == pytest.approx(frechet_distance(embed(real_clips), embed(generated)))
    assert found.value > 1
    assert found.scored_frames == "all"
    assert found.interval is None
    assert any("fewer than 19" in note for note in found.notes)


def test_the_real_clips_are_embedded_once_for_all_candidates(real_clips, protocol, toy_network):
    network, calls = toy_network
    shared = {
        "protocol": protocol,
        "networks": Networks(features=network),
        "cache": FeatureCache(),
    }
    results = [
        evaluate_clips(real_clips, noisy(real_clips, 5), **shared),
        evaluate_clips(real_clips, repeat_last(real_clips, context_frames=3), **shared),
        evaluate_sets(real_clips, shuffle_frames(real_clips, seed=0), **shared),
        evaluate_sets(real_clips, real_clips[:3], **shared),
    ]
    assert calls == [4, 4, 4, 4, 3]
    sets = {"fvd_toy", "kvd_toy", "motion_distance", "repeated"}
    assert set(results[0].scores) == {"psnr", "ssim"} | sets
    assert set(results[2].scores) == sets
    assert any("4 real clips against 3" in note for note in results[3].scores["fvd_toy"].notes)
    json.dumps([score.to_dict() for result in results for score in result.scores.values()])


@pytest.mark.weights
def test_measurements_of_some_clips_and_of_others_are_those_of_all(real_clips, alex, i3d_network):
    """To the bit, where the cut is between clips that are embedded together."""
    real = np.concatenate([real_clips, noisy(real_clips, 3), noisy(real_clips, 6)])
    clips = noisy(real, 10)
    frames = frame_feature_network(alex)
    networks = Networks(lpips=alex, features=i3d_network, frames=frames)

    def measured(rows):
        meter = Meter(networks=networks, cache=FeatureCache(), context_frames=3)
        return meter.measure(clips[rows], real=real[rows]).rows

    whole = measured(slice(12))
    parted = joined([measured(slice(8)), measured(slice(8, 12))])
    names = {"changes", "features.fvd", "features.framefd"}
    assert set(whole) == names | {"pairs.psnr", "pairs.ssim", "pairs.lpips_alex"}
    for name, values in whole.items():
        assert np.array_equal(values, parted[name]), name


def test_figures_that_the_clips_do_not_admit_are_left_out_with_a_sentence(protocol, toy_network):
    small = np.zeros((1, 8, 10, 10, 3), np.uint8)
    result = evaluate_clips(
        small,
        small,
        protocol=replace(protocol, clips=1, frames=8),
        networks=Networks(features=toy_network[0]),
        cache=FeatureCache(),
    )
    assert set(result.scores) == {"psnr", "motion_distance", "repeated"}
    assert [sentence.split(" is left out")[0] for sentence in result.absent] == ["ssim", "fvd"]
    single = np.zeros((1, 9, 32, 32, 3), np.uint8)
    networks = Networks(features=toy_network[0])
    sets = evaluate_sets(single, single, protocol=protocol, networks=networks, cache=FeatureCache())
    assert sets.absent == ("fvd is left out: it needs 2 clips a side, found 1",)


def test_absent_networks_are_named_with_the_way_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path))
    networks = load_networks(lpips="vgg", stage="check_vqgan")
    assert networks.lpips is None
    assert networks.features is None
    assert "lpips_vgg is left out" in networks.missing[0]
    assert "cvg weights fetch lpips-vgg16-trunk" in networks.missing[0]
    assert "cvg weights fetch i3d-kinetics-400" in networks.missing[1]
    again = "then `dvc repro -f --single-item check_vqgan`"
    assert all(sentence.endswith(again) for sentence in networks.missing)


def test_a_network_that_is_not_wanted_is_not_missed(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_WEIGHTS", str(tmp_path))
    networks = load_networks(lpips="alex", stage="check_transformers", with_fvd=False)
    assert [sentence.split(" is left out")[0] for sentence in networks.missing] == ["lpips_alex"]


def test_shapes_that_contradict_each_other_or_the_protocol_are_refused(real_clips, protocol):
    shared = {"networks": Networks(), "cache": FeatureCache()}
    with pytest.raises(ValueError, match="generated clips"):
        evaluate_clips(real_clips, real_clips[:3], protocol=protocol, **shared)
    wrong = replace(protocol, context_frames=9)
    with pytest.raises(ValueError, match="context_frames is 9"):
        evaluate_clips(real_clips, real_clips, protocol=wrong, **shared)
    wrong = replace(protocol, clips=5)
    with pytest.raises(ValueError, match="the protocol says 5"):
        evaluate_clips(real_clips, real_clips, protocol=wrong, **shared)


@pytest.mark.weights
def test_lpips_of_a_frame_does_not_depend_on_its_batch(real_clips, alex):
    generated = noisy(real_clips, 10)
    values = lpips_distance(alex, real_clips, generated)
    assert values.shape == (4, 9)
    few = lpips_distance(alex, real_clips, generated, batch_size=5)
    np.testing.assert_allclose(values, few, atol=1e-6)
    one = lpips_distance(alex, real_clips[2:3, 4:5], generated[2:3, 4:5])
    np.testing.assert_allclose(values[2:3, 4:5], one, atol=1e-6)
    assert (lpips_distance(alex, real_clips, real_clips) == 0).all()


@pytest.mark.weights
def test_lpips_grows_with_noise_and_blur(real_clips, alex, protocol):
    networks = Networks(lpips=alex)

    def value(generated):
        result = evaluate_clips(
            real_clips, generated, protocol=protocol, networks=networks, cache=FeatureCache()
        )
        assert len(result.horizon["lpips_alex"]) == 6
        return result.scores["lpips_alex"].value

    assert 0 < value(noisy(real_clips, 5)) < value(noisy(real_clips, 20))
    assert 0 < value(blurred(real_clips, 1)) < value(blurred(real_clips, 3))


@pytest.mark.weights
def test_fvd_grows_with_damage_and_sees_compression_and_frozen_motion(
    real_clips, i3d_network, protocol
):
    real_clips = real_clips[::2]
    others = {
        "same": real_clips.copy(),
        "noise 5": noisy(real_clips, 5),
        "noise 25": noisy(real_clips, 25),
        "blur 1": blurred(real_clips, 1),
        "blur 3": blurred(real_clips, 3),
        "mp4": compressed(real_clips),
        "frozen": repeat_last(real_clips, context_frames=1),
    }
    cache, networks = FeatureCache(), Networks(features=i3d_network)
    fvd = {
        name: evaluate_sets(real_clips, clips, protocol=protocol, networks=networks, cache=cache)
        .scores["fvd"]
        .value
        for name, clips in others.items()
    }
    assert fvd["same"] < 1e-6
    assert 1 < fvd["noise 5"] < fvd["noise 25"]
    assert 1 < fvd["blur 1"] < fvd["blur 3"]
    assert fvd["mp4"] > 10
    assert fvd["frozen"] > 10


def test_both_frechet_distances_divide_by_what_their_protocol_says(real_clips, protocol):
    def embed(clips):
        return clips.astype(float).mean(axis=(2, 3)).reshape(len(clips), -1)

    network = Network(name="toy", weights_sha256="ab" * 32)
    shared = {"network": network, "embed": embed, "resize": "none"}
    networks = Networks(
        features=FeatureNetwork(**shared, min_frames=1),
        frames=FeatureNetwork(**shared, min_frames=1, per_frame=True),
    )
    other = noisy(real_clips, 40) // 2
    by_n, by_less = (
        evaluate_sets(
            real_clips,
            other,
            protocol=replace(protocol, covariance=covariance),
            networks=networks,
            cache=FeatureCache(),
        ).scores
        for covariance in ("n", "n - 1")
    )
    for name in ("fvd_toy", "framefd_toy"):
        assert by_n[name].value < by_less[name].value
