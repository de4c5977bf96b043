"""The figures of a whole run: names, what each candidate is, what is left out."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cvg.errors import UserError
from cvg.files import replacing_folder
from cvg.frames.samples import SampledClip, Samples, load_samples, save_samples, true_clips
from cvg.frames.store import FrameStore
from cvg.frames.writer import FrameWriter
from cvg.metrics.candidates import REAL, RECONSTRUCTION, Candidates
from cvg.metrics.clips import rows_at_once
from cvg.metrics.evaluator import Evaluator, Judges
from cvg.metrics.names import flat_figures
from cvg.metrics.networks import Networks
from cvg.metrics.pixels import psnr
from cvg.metrics.record import write_suite
from cvg.segments import Segment

SIZE, FRAMES, CONTEXT = 16, 6, 2
CPU = torch.device("cpu")
NONE = Networks()
UNPAIRED = (
    "control.real_vs_real",
    "control.shuffled",
    "control.reversed",
    "control.frozen",
)


def segment(number, split, first, count):
    return Segment(
        id=number,
        video=f"{number}.mp4",
        split=split,
        first_frame=first,
        num_frames=count,
        fps=10.0,
        start_s=0.0,
        motion=0.0,
        first_action=None,
        first_map=None,
        caption="a video",
        label=None,
        metadata="{}",
    )


@pytest.fixture
def store(tmp_path):
    """Two training segments and one held-out segment of smooth random frames."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    frames = coarse.repeat(4, axis=1).repeat(4, axis=2)
    with (
        replacing_folder(tmp_path / "frames", marker="store.json") as folder,
        FrameWriter(folder, height=SIZE, width=SIZE, shard_bytes=10_000) as writer,
    ):
        writer.append(frames)
        for number, (split, first, count) in enumerate(
            [("train", 0, 15), ("train", 15, 10), ("held_out", 25, 15)]
        ):
            writer.add(segment(number, split, first, count))
    return FrameStore.open(tmp_path / "frames")


@pytest.fixture
def vqgan(toys):
    return toys.toy_vqgan()


@pytest.fixture
def samples(store):
    clips = [
        SampledClip(
            name=f"2.mp4#{25 + start}",
            segment=2,
            start=start,
            video="2.mp4",
            caption="a video",
            label=None,
        )
        for start in (0, 3, 6, 9)
    ]
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (4, FRAMES, SIZE, SIZE, 3), dtype=np.uint8)
    drawn = Samples(frames=frames, clips=clips, context_frames=CONTEXT, vqgan_hash="abc")
    frames[:, :CONTEXT] = true_clips(store, drawn)[:, :CONTEXT]
    return drawn


@pytest.fixture
def run_suite(store, vqgan, toys, tmp_path_factory):
    """Scores samples, by parts that are made one after the other."""

    def run_suite(samples, *, networks=NONE, critic=None):
        judges = Judges(vqgan=vqgan, networks=networks, critic=critic)
        evaluator = Evaluator(store, samples, judges, seed=0)
        return evaluator.join(toys.made(evaluator, tmp_path_factory.mktemp("parts")))

    return run_suite


@pytest.fixture
def sets(store, vqgan):
    """Gives all clips of all sets by name, made at once or `at_once` of them."""

    def sets(samples, at_once=None):
        candidates = Candidates(store, samples, vqgan, seed=0)
        return candidates, {
            name: np.concatenate(
                [candidates.clips(name, rows) for rows in rows_at_once(count, at_once or count)]
            )
            for name, count in candidates.counts.items()
        }

    return sets


@pytest.fixture
def suite(run_suite, samples):
    return run_suite(samples, networks=Networks(missing=("fvd: no",)))


def test_true_clips_are_the_windows_that_samples_continue(store, samples):
    held_out = store.segments("held_out")[0]
    assert (true_clips(store, samples)[2] == store.window(held_out, 6, FRAMES)).all()


def test_every_candidate_has_the_real_context_in_front(samples, sets):
    candidates, clips = sets(samples)
    real = clips[REAL]
    for name in candidates.paired:
        assert clips[name].shape == real.shape, name
        assert (clips[name][:, :CONTEXT] == real[:, :CONTEXT]).all(), name
        assert (clips[name][:, CONTEXT:] != real[:, CONTEXT:]).any(), name


@pytest.mark.parametrize("goal", [False, True])
def test_clips_do_not_depend_on_how_many_are_made_at_once(samples, sets, goal):
    given = replace(samples, goal=goal, unconditional=255 - samples.frames)
    candidates, whole = sets(given)
    assert list(whole) == [REAL, *candidates.paired, *UNPAIRED]
    for at_once in (1, 3):
        for name, clips in sets(given, at_once)[1].items():
            assert np.array_equal(clips, whole[name]), name


def test_a_goal_is_not_scored_and_has_a_baseline_of_its_own(store, samples, sets, run_suite):
    goal = replace(samples, goal=True)
    _, clips = sets(goal)
    assert {array.shape[1] for array in clips.values()} == {FRAMES - 1}
    fade = clips["baseline.cross_fade"]
    true = true_clips(store, samples)
    halfway = (true[:, CONTEXT - 1].astype(float) + true[:, -1]) / 2
    assert np.abs(fade[:, 3] - halfway).max() <= 0.5
    suite = run_suite(goal)
    assert "cross_fade" in suite.figures["baseline"]
    assert {score["protocol"]["goal"] for score in suite.scores} == {True}
    assert {score["protocol"]["frames"] for score in suite.scores} == {FRAMES - 1}


def test_without_context_there_is_no_baseline(samples, run_suite):
    suite = run_suite(replace(samples, context_frames=0))
    assert "baseline" not in suite.figures
    assert "psnr" in suite.figures["sample"]


def test_real_against_real_takes_training_clips_only(store, samples, sets):
    training = {
        store.window(part, start, FRAMES).tobytes()
        for part in store.segments("train")
        for start in range(part.num_frames - FRAMES + 1)
    }
    taken = [clip.tobytes() for clip in sets(samples)[1]["control.real_vs_real"]]
    assert len(set(taken)) == len(samples.clips)
    assert set(taken) <= training


def test_without_training_clips_of_that_length_what_they_show_is_left_out(
    samples, store, run_suite, monkeypatch
):
    held_out = store.segments("held_out")
    monkeypatch.setattr(store, "segments", lambda split: held_out if split == "held_out" else [])
    suite = run_suite(samples)
    assert set(suite.figures["baseline"]) == {"repeat_last"}
    assert "real_vs_real" not in suite.figures["control"]
    assert "copied" not in suite.figures["sample"]
    assert [sentence.partition(" is left out")[0] for sentence in suite.absent[:2]] == [
        "what training clips show",
        "copied",
    ]


def test_figures_have_the_names_that_others_rely_on(suite):
    names = set(flat_figures(suite.figures))
    for candidate in (
        "sample",
        "baseline.repeat_last",
        "baseline.nearest",
        "control.reconstruction",
    ):
        assert {f"{candidate}.psnr", f"{candidate}.ssim"} <= names


def test_a_figure_that_cannot_be_computed_is_absent_and_said(suite):
    assert not [name for name in flat_figures(suite.figures) if "fvd" in name or "lpips" in name]
    assert "fvd: no" in suite.absent


def test_the_figures_of_the_samples_are_means_of_their_rows(suite):
    rows = [row["psnr"] for row in suite.clips]
    by_frame = [row["psnr"] for row in suite.horizon if row["candidate"] == "sample"]
    assert len(rows) == 4
    assert len(by_frame) == FRAMES - CONTEXT
    assert np.mean(rows) == pytest.approx(suite.figures["sample"]["psnr"])
    assert np.mean(by_frame) == pytest.approx(suite.figures["sample"]["psnr"])


def test_the_cut_into_parts_changes_no_figure(samples, run_suite, critic, monkeypatch):
    captions = ("a red disc", None, "blue", "a disc")
    clips = [
        replace(clip, caption=text) for clip, text in zip(samples.clips, captions, strict=True)
    ]
    told = replace(samples, clips=clips, unconditional=255 - samples.frames)
    whole = run_suite(told, critic=critic)
    monkeypatch.setattr("cvg.metrics.parts.FEWEST_CLIPS", 3)
    parted = run_suite(told, critic=critic)
    assert parted.scores == approximately(whole.scores)
    assert parted.clips == approximately(whole.clips)
    assert parted.horizon == approximately(whole.horizon)
    for name, array in whole.pictures.items():
        assert np.array_equal(array, parted.pictures[name]), name


def test_rows_of_clips_are_in_the_order_of_the_samples(store, samples, run_suite, monkeypatch):
    monkeypatch.setattr("cvg.metrics.parts.FEWEST_CLIPS", 3)
    sides = (clips[:, CONTEXT:] for clips in (true_clips(store, samples), samples.frames))
    rows = [row["psnr"] for row in run_suite(samples).clips]
    assert rows == pytest.approx(psnr(*sides).mean(axis=1).tolist())


def test_each_clip_is_held_against_its_own_caption(store, samples, vqgan, monkeypatch):
    colours = ("red", "blue", "green", "red")
    clips = [
        replace(clip, caption=f"a {colour} circle moves up fast")
        for clip, colour in zip(samples.clips, colours, strict=True)
    ]
    monkeypatch.setattr(
        "cvg.metrics.of_run.shows_what_is_told",
        lambda clips, scenes, first: np.array([scene[0].colour == "red" for scene in scenes]),
    )
    judges = Judges(vqgan=vqgan, networks=NONE)
    evaluator = Evaluator(store, replace(samples, clips=clips), judges, seed=0)
    found = [evaluator.measure("sample", slice(*rows))["caption"] for rows in ((0, 3), (3, 4))]
    assert np.concatenate(found).tolist() == [True, False, False, True]


def test_every_score_carries_its_protocol(suite):
    for score in suite.scores:
        assert score["protocol"]["context_frames"] == CONTEXT
        assert score["protocol"]["split"] == "held_out"


def test_a_suite_on_disk_is_the_same_bytes_twice(suite, tmp_path):
    for name in ("one", "two"):
        write_suite(tmp_path / name, suite)
    wide = (tmp_path / "one" / "psnr_by_frame.csv").read_text().splitlines()
    assert set(wide[0].split(",")) == {
        "frame",
        "sample",
        "repeat_last",
        "nearest",
        "reconstruction",
    }
    assert len(wide) == 1 + FRAMES - CONTEXT
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "pictures.safetensors" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert json.loads((tmp_path / "one" / "absent.json").read_text()) == suite.absent


def test_samples_survive_the_disk(samples, tmp_path):
    save_samples(tmp_path, samples)
    loaded = load_samples(tmp_path)
    assert (loaded.frames == samples.frames).all()
    assert loaded.clips == samples.clips


def test_samples_of_another_run_are_refused(samples, tmp_path):
    save_samples(tmp_path, samples)
    np.save(tmp_path / "samples.npy", samples.frames[:2])
    with pytest.raises(UserError, match="run sample again"):
        load_samples(tmp_path)


def test_damaged_samples_are_refused(samples, tmp_path):
    save_samples(tmp_path, samples)
    (tmp_path / "samples.npy").write_bytes(b"no array")
    with pytest.raises(UserError, match=r"samples\.json: not what was written together"):
        load_samples(tmp_path)


def test_what_is_told_nothing_is_a_control(samples, run_suite, tmp_path):
    unconditional = replace(samples, unconditional=255 - samples.frames)
    unconditional.unconditional[:, :CONTEXT] = samples.frames[:, :CONTEXT]
    save_samples(tmp_path, unconditional)
    loaded = load_samples(tmp_path)
    assert (loaded.unconditional == unconditional.unconditional).all()
    figures = run_suite(loaded).figures
    assert figures["control"]["unconditional"]["psnr"] != figures["sample"]["psnr"]


def test_the_controls_are_the_real_clips_in_other_orders(samples, sets):
    _, found = sets(samples)
    real = found[REAL]
    assert (found["control.reversed"][:, ::-1] == real).all()
    assert (found["control.frozen"] == real[:, :1]).all()
    shuffled = found["control.shuffled"]
    assert (np.sort(shuffled, axis=1) == np.sort(real, axis=1)).all()


def test_copies_are_counted(samples, run_suite):
    figures = run_suite(samples).figures
    assert figures["baseline"]["nearest"]["copied"] == 1
    assert figures["sample"]["copied"] < 1
    assert "copied" not in figures["control"]["reconstruction"]


def test_captions_of_made_shapes_are_read(samples, run_suite):
    clips = [replace(clip, caption="a red circle moves up fast") for clip in samples.clips]
    figures = run_suite(replace(samples, clips=clips)).figures
    assert figures["sample"]["caption_accuracy"] == 0  # noise shows no circle
    assert "caption_accuracy" not in run_suite(samples).figures["sample"]


def test_the_critic_of_the_run_judges_what_was_written(sets, samples, run_suite, critic):
    drawn = replace(samples, unconditional=samples.frames)
    figures = run_suite(drawn, critic=critic).figures
    areas = [figures["sample"]["critic_auc"], figures["control"]["unconditional"]["critic_auc"]]
    assert areas[0] == areas[1]
    assert 0 <= areas[0] <= 1
    again = replace(samples, frames=sets(samples)[1][RECONSTRUCTION])
    figures = run_suite(again, critic=critic).figures
    assert figures["sample"]["critic_auc"] == 0.5  # the same clips as those it is held against


def test_a_critic_that_looks_at_more_frames_is_left_out_with_a_sentence(samples, run_suite, critic):
    short = replace(samples, frames=samples.frames[:, :4])
    found = run_suite(short, critic=critic)
    assert "critic_auc" not in found.figures["sample"]
    assert any("the critic looks at 5 frames, the clips have 4" in text for text in found.absent)


def approximately(tree):
    """The same up to rounding: what is computed together may change last bits."""
    if isinstance(tree, dict):
        return {name: approximately(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [approximately(value) for value in tree]
    return pytest.approx(tree, rel=1e-5) if isinstance(tree, float) else tree
