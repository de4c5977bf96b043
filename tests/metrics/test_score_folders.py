"""Scores of anyone's videos: pairs by name, several samples, warnings, and two models compared."""

from dataclasses import replace

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.metrics.compare import compare_scores, read_scores
from cvg.metrics.evaluate import evaluate_clips
from cvg.metrics.features import FeatureCache, FeatureNetwork
from cvg.metrics.folders import NamedClips
from cvg.metrics.networks import Networks
from cvg.metrics.pixels import psnr
from cvg.metrics.record import write_folder_scores
from cvg.metrics.score_folders import FolderScorer
from cvg.metrics.scores import Network, Protocol
from cvg.metrics.several import diversity

CLIPS, FRAMES, CONTEXT = 12, 10, 2
NAMES = tuple(f"clip{n:02}" for n in range(CLIPS))
NETWORKS = Networks(
    features=FeatureNetwork(
        network=Network(name="toy", weights_sha256="ab" * 32),
        embed=lambda clips: clips.astype(float).mean(axis=(2, 3)).reshape(len(clips), -1)[:, :6],
        min_frames=9,
        resize="none",
    )
)


@pytest.fixture
def protocol():
    return Protocol(
        split="real",
        clips=CLIPS,
        frames=FRAMES,
        context_frames=CONTEXT,
        size=16,
        fps=None,
        seed=0,
    )


@pytest.fixture
def real():
    rng = np.random.default_rng(0)
    return NamedClips(NAMES, rng.integers(30, 200, (CLIPS, FRAMES, 16, 16, 3), dtype=np.uint8))


@pytest.fixture
def spoil(real):
    def spoil(seed, *, by=20):
        rng = np.random.default_rng(seed)
        clips = real.clips + rng.normal(0, by, real.clips.shape)
        return NamedClips(NAMES, np.clip(clips, 0, 255).round().astype(np.uint8))

    return spoil


def scorer(real, fakes, protocol, **more):
    given = {"paired": True, "networks": NETWORKS} | more
    return FolderScorer(real, fakes, protocol=protocol, **given)


def scored(real, fakes, protocol, **more):
    return scorer(real, fakes, protocol, **more).score()


def values(found):
    return {name: score.value for name, score in found.evaluation.scores.items()}


def test_one_sample_a_condition_is_scored_as_a_runs_own_clips(real, spoil, protocol):
    fake = spoil(1)
    expected = evaluate_clips(
        real.clips, fake.clips, protocol=protocol, networks=NETWORKS, cache=FeatureCache()
    )
    found = scored(real, [fake], protocol)
    wanted = {name: score.value for name, score in expected.scores.items()}
    assert values(found) == pytest.approx(wanted, rel=1e-12)
    assert set(found.evaluation.horizon) == set(expected.horizon)
    assert found.warnings == ()


def test_pairs_are_found_by_name_whatever_their_order(real, spoil, protocol):
    fake = spoil(1)
    order = np.random.default_rng(5).permutation(CLIPS)
    mixed = NamedClips(tuple(NAMES[n] for n in order), fake.clips[order])
    assert values(scored(real, [mixed], protocol)) == pytest.approx(
        values(scored(real, [fake], protocol)), rel=1e-9
    )


def test_mean_and_best_of_several_samples_are_kept_apart(real, spoil, protocol):
    fakes = [spoil(seed, by=by) for seed, by in ((1, 10), (2, 20), (3, 10))]
    found = scored(real, fakes, protocol)
    by_clip = np.stack(
        [psnr(real.clips[:, CONTEXT:], f.clips[:, CONTEXT:]).mean(axis=1) for f in fakes]
    )
    scores = found.evaluation.scores
    assert scores["psnr"].value == pytest.approx(by_clip.mean())
    assert scores["psnr"].pooling == "mean"
    assert scores["psnr_best_of_3"].value == pytest.approx(by_clip.max(axis=0).mean())
    assert scores["psnr_best_of_3"].pooling == "best"
    alone = [scored(real, [fake], protocol).evaluation.scores["fvd_toy"].value for fake in fakes]
    assert scores["fvd_toy"].value == pytest.approx(np.mean(alone))
    assert scores["fvd_toy"].spread.deviation == pytest.approx(np.std(alone, ddof=1))


def test_diversity_is_over_all_pairs_of_samples(real, spoil):
    fakes = [spoil(seed).clips for seed in (1, 2, 3)]
    metrics = {
        "lpips_toy": (
            lambda a, b: np.abs(a.astype(float) - b).mean(axis=(2, 3, 4)),
            Network(name="toy", weights_sha256="ab"),
        ),
        "psnr": (psnr, None),
    }
    found = diversity(fakes, metrics, context_frames=CONTEXT)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = np.mean(
        [
            np.abs(fakes[a][:, CONTEXT:].astype(float) - fakes[b][:, CONTEXT:]).mean((1, 2, 3, 4))
            for a, b in pairs
        ],
        axis=0,
    )
    assert set(found) == {"diversity_lpips_toy"}
    np.testing.assert_allclose(found["diversity_lpips_toy"], expected)
    same = diversity([fakes[0]] * 2, metrics, context_frames=CONTEXT)
    assert (same["diversity_lpips_toy"] == 0).all()


def test_order_and_number_at_once_change_no_figure(real, spoil, protocol, monkeypatch):
    fake = spoil(1)
    before = values(scored(real, [fake], protocol, paired=False))
    order = np.random.default_rng(5).permutation(CLIPS)
    mixed = NamedClips(tuple(NAMES[n] for n in order), fake.clips[order])
    assert values(scored(real, [mixed], protocol, paired=False)) == pytest.approx(before, rel=1e-6)
    seen = []
    network = replace(
        NETWORKS.features, embed=lambda c: seen.append(len(c)) or NETWORKS.features.embed(c)
    )
    monkeypatch.setattr("cvg.metrics.clips.CLIPS_AT_ONCE", 5)
    networks = Networks(features=network)
    assert values(scored(real, [fake], protocol, paired=False, networks=networks)) == pytest.approx(
        before, rel=1e-6
    )
    assert seen == [5, 5, 2] * 2
    assert values(scored(real, [fake], protocol, paired=False)) == pytest.approx(before, rel=1e-6)


def test_another_number_of_clips_and_repeated_ones_are_said(real, spoil, protocol):
    fake = spoil(1)
    clips = fake.clips[:8].copy()
    clips[3] = clips[2]
    found = scored(real, [NamedClips(NAMES[:8], clips)], protocol, paired=False)
    assert [sentence.partition(":")[0] for sentence in found.warnings] == [
        "generated clips",
        "12 real clips against 8",
    ]


def test_clips_that_do_not_fit_are_refused(real, spoil, protocol):
    fake = spoil(1)
    short = NamedClips(NAMES, fake.clips[:, :9])
    with pytest.raises(UserError, match="10 frames of 16 x 16 pixels, generated ones 9 frames"):
        scored(real, [short], protocol)
    renamed = NamedClips(("other", *NAMES[1:]), fake.clips)
    with pytest.raises(UserError, match="2 clips are on one side alone, clip00 for one"):
        scored(real, [renamed], protocol)


def test_nine_frames_are_warned_of(real, spoil, protocol):
    nine = [NamedClips(NAMES, clips.clips[:, :9]) for clips in (real, spoil(1))]
    found = scored(nine[0], nine[1:], replace(protocol, frames=9))
    assert any("clips of 9 frames" in sentence for sentence in found.warnings)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("count", [1, 3])
def test_parts_give_the_bytes_of_one_process(
    real, spoil, protocol, toys, tmp_path, monkeypatch, paired, count
):
    monkeypatch.setattr("cvg.metrics.parts.FEWEST_CLIPS", 8)
    fakes = [spoil(seed) for seed in range(count)]
    fakes[0].clips[5] = fakes[0].clips[2]
    order = np.random.default_rng(5).permutation(CLIPS)
    fakes[-1] = NamedClips(tuple(NAMES[n] for n in order), fakes[-1].clips[order])
    write_folder_scores(tmp_path / "one", scored(real, fakes, protocol, paired=paired))
    work = scorer(real, fakes, protocol, paired=paired)
    assert work.sizes == [8, 4] * (1 + count)
    parts = toys.made(work, tmp_path)
    write_folder_scores(tmp_path / "parts", work.join(parts))
    one, joined = ([*(tmp_path / name).iterdir()] for name in ("one", "parts"))
    assert {path.name: path.read_bytes() for path in one} == {
        path.name: path.read_bytes() for path in joined
    }


def test_repeated_clips_are_numbered_as_in_their_folder(real, spoil, protocol):
    fake = spoil(1)
    clips = fake.clips[::-1].copy()
    clips[9] = clips[4]
    mixed = NamedClips(NAMES[::-1], clips)
    (sentence,) = scored(real, [mixed], protocol).warnings
    assert "(clip 10 is clip 5)" in sentence


@pytest.mark.weights
def test_diversity_is_measured_in_parts_too(real, spoil, protocol, toys, alex, tmp_path):
    clips = [NamedClips(NAMES, one.clips.repeat(2, 2).repeat(2, 3)) for one in (real, spoil(1))]
    networks = Networks(lpips=alex)
    given = {"networks": networks, "paired": True}
    fakes = [clips[1], NamedClips(NAMES, clips[1].clips[:, :, ::-1].copy())]
    work = scorer(clips[0], fakes, protocol, **given)
    assert work.sizes == [CLIPS] * 4
    found = values(work.join(toys.made(work, tmp_path)))
    assert found == values(scored(clips[0], fakes, protocol, **given))
    assert found["diversity_lpips_alex"] > 0


@pytest.fixture
def written(real, spoil, protocol, tmp_path):
    """Folders of a better, a worse, and one more better model."""
    for name, seed, by in (("good", 1, 10), ("bad", 2, 25), ("other", 3, 10)):
        write_folder_scores(tmp_path / name, scored(real, [spoil(seed, by=by)], protocol))
    return tmp_path


def test_a_difference_beyond_chance_is_said_and_none_else(written):
    good, bad, other = (read_scores(written / name) for name in ("good", "bad", "other"))
    verdicts = {one.metric: one for one in compare_scores(good, bad)}
    assert verdicts["psnr"].verdict == verdicts["ssim"].verdict == "A is better"
    low, high = verdicts["psnr"].interval.low, verdicts["psnr"].interval.high
    assert low < verdicts["psnr"].b - verdicts["psnr"].a < high < 0
    assert {one.metric: one.verdict for one in compare_scores(bad, good)}["psnr"] == "B is better"
    same = {one.metric: one.verdict for one in compare_scores(good, other)}
    assert same["psnr"] == "no difference beyond chance"


def test_distances_of_sets_have_no_interval(written):
    good, bad = (read_scores(written / name) for name in ("good", "bad"))
    found = {one.metric: one for one in compare_scores(good, bad)}
    for name in ("fvd_toy", "kvd_toy"):
        assert found[name].interval is None
        assert "give several sets of samples" in found[name].verdict


def test_figures_without_a_direction_have_no_winner(real, spoil, protocol, tmp_path):
    still = NamedClips(NAMES, real.clips[:, :1].repeat(FRAMES, axis=1))
    for name, fake in (("moving", spoil(1)), ("still", still)):
        found = scored(real, [fake, spoil(2)], protocol)
        write_folder_scores(tmp_path / name, found)
    moving, still = (read_scores(tmp_path / name) for name in ("moving", "still"))
    verdicts = {one.metric: one.verdict for one in compare_scores(moving, still)}
    assert "better" not in verdicts["repeated"].replace("neither way is better", "")


def test_sets_of_other_numbers_are_not_compared(real, spoil, protocol, tmp_path):
    fake = spoil(1)
    few = NamedClips(NAMES[:8], fake.clips[:8])
    for name, clips in (("all", fake), ("few", few)):
        write_folder_scores(tmp_path / name, scored(real, [clips], protocol, paired=False))
    with pytest.raises(UserError, match=r"generated \(None and 8\)"):
        compare_scores(*(read_scores(tmp_path / name) for name in ("all", "few")))
    with pytest.raises(UserError, match="sets of samples hold 12 and 8 clips"):
        scored(real, [fake, few], protocol, paired=False)


def test_where_clips_begin_at_random_the_seed_chooses_them(real, spoil, protocol, tmp_path):
    for seed in (0, 1):
        drawn = replace(protocol, starts="random", seed=seed)
        write_folder_scores(tmp_path / str(seed), scored(real, [spoil(1)], drawn, paired=False))
    with pytest.raises(UserError, match=r"seed \(0 and 1\)"):
        compare_scores(*(read_scores(tmp_path / str(seed)) for seed in (0, 1)))


def test_with_several_sets_distances_have_a_verdict(real, spoil, protocol, tmp_path):
    for name, by in (("good", 5), ("bad", 60)):
        fakes = [spoil(seed, by=by) for seed in (1, 2, 3)]
        found = scored(real, fakes, protocol, paired=False)
        write_folder_scores(tmp_path / name, found)
    good, bad = (read_scores(tmp_path / name) for name in ("good", "bad"))
    (fvd,) = (one for one in compare_scores(good, bad) if one.metric == "fvd_toy")
    assert fvd.verdict == "A is better"
    (same,) = (one for one in compare_scores(good, good) if one.metric == "fvd_toy")
    assert same.verdict.startswith("no difference")


def test_other_protocols_and_other_clips_are_not_compared(written, real, spoil, protocol):
    other = replace(protocol, context_frames=4)
    write_folder_scores(written / "four", scored(real, [spoil(1)], other))
    good = read_scores(written / "good")
    with pytest.raises(UserError, match=r"different protocols: context_frames \(2 and 4\)"):
        compare_scores(good, read_scores(written / "four"))
    table = (written / "bad" / "clips.csv").read_text().replace("clip03", "elsewhere")
    (written / "bad" / "clips.csv").write_text(table)
    with pytest.raises(UserError, match="11 are the same; score both on the same clips"):
        compare_scores(good, read_scores(written / "bad"))
