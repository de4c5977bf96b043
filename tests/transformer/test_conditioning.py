"""What codes and their tracks say of the conditions of clips."""

import numpy as np
import pytest

from cvg.codes.batches import CodeBatches, gather_codes
from cvg.codes.layout import layout_of
from cvg.codes.store import CodeStore, CodeWriter
from cvg.segments import Window
from cvg.transformer.conditioning import collect_conditioning, known_conditions


@pytest.fixture(scope="module")
def store(toys, tmp_path_factory):
    return toys.write_codes(tmp_path_factory.mktemp("conditioning") / "codes")


def params(toys, **changes):
    return toys.toy_params().transformer.conditions.model_copy(update=changes)


def collect(toys, store, *, clip_frames=4, **changes):
    return collect_conditioning(store, params(toys, **changes), clip_frames=clip_frames)


def write(toys, folder, tracks, motion=None, lengths=(9, 9, 9)):
    """Codes of training clips with some of the tracks."""
    folder.mkdir()
    kept = [track for track in toys.TRACKS if track.name in ("motion", *tracks)]
    writer = CodeWriter(folder, grids=toys.GRIDS, tracks=tuple(kept))
    total = sum(lengths)
    arrays = toys.all_codes(total) | toys.all_tracks(total)
    if motion is not None:
        arrays["motion"] = np.asarray(motion, np.float32)
    names = {*(grid.level for grid in toys.GRIDS), *(track.name for track in kept)}
    writer.append({name: arrays[name] for name in names})
    segments = [
        toys.segment(i, sum(lengths[:i]), length, split="train") for i, length in enumerate(lengths)
    ]
    writer.finish(segments, vqgan_hash="toy", codebooks=toys.codebooks())
    return CodeStore.open(folder)


def test_a_store_without_actions_and_maps_gives_a_model_without(toys, tmp_path):
    store = write(toys, tmp_path / "codes", [])
    conditioning = collect(toys, store)
    assert conditioning.kinds == ("caption", "fps", "motion")
    layout = layout_of("bottom", store.grids)
    batch = gather_codes(store, [Window(store.segments("train")[0], 0, 4)], layout=layout)
    (told,) = known_conditions(batch, conditioning.vocabulary)
    assert told.actions is None
    assert told.map is None
    assert conditioning.gather([told], frames=4).actions is None


def test_clips_know_what_their_frames_bring(toys, store):
    layout = layout_of("top", store.grids)
    segment = store.segments("train")[1]
    batch = gather_codes(store, [Window(segment, 2, 4)], layout=layout)
    (told,) = known_conditions(batch, toys.VOCABULARY)
    tracks = toys.all_tracks(sum(toys.LENGTHS))
    rows = slice(segment.first_frame + 2, segment.first_frame + 6)
    assert np.array_equal(told.actions, tracks["actions"][rows])
    assert told.map == pytest.approx(tracks["map"][rows] / 255)
    assert told.motion == toys.VOCABULARY.bucket_of(float(tracks["motion"][rows][1:].mean()))
    assert (told.caption, told.fps) == (segment.caption, 10.0)


def test_of_every_second_frame_rate_and_maps_follow_and_actions_are_missing(toys, store):
    layout = layout_of("top", store.grids)
    segment = store.segments("train")[0]
    batch = gather_codes(store, [Window(segment, 1, 7)], layout=layout, stride=2)
    assert batch.sequence.shape[1] == 4
    whole = gather_codes(store, [Window(segment, 1, 7)], layout=layout)
    assert batch.sequence.equal(whole.sequence[:, ::2])
    (told,) = known_conditions(batch, toys.VOCABULARY)
    assert told.fps == 5.0
    assert told.actions is None
    maps = toys.all_tracks(sum(toys.LENGTHS))["map"]
    assert told.map == pytest.approx(maps[segment.first_frame + 1 :][:7:2] / 255)


def test_only_the_kinds_that_are_wanted_are_told(toys, store):
    layout = layout_of("top", store.grids)
    batch = gather_codes(store, [Window(store.segments("train")[0], 0, 4)], layout=layout)
    (told,) = known_conditions(batch, toys.VOCABULARY, kinds=["fps"])
    assert told.fps == 10.0
    others = {name: value for name, value in vars(told).items() if name != "fps"}
    assert set(others.values()) == {None}


def test_rates_are_those_that_some_clip_is_long_enough_for(toys, store, capsys):
    """Training videos of 9 and 7 frames: 4 at every second need 7, at every third 10."""
    found = collect(toys, store, strides=[1, 2, 3])
    assert found.vocabulary.rates == (5.0, 10.0)
    batches = CodeBatches(
        store, "train", layout=layout_of("top", store.grids), length=4, strides=[1, 2, 3]
    )
    assert "no train segment has the 10 frames that 4 need at stride 3, which is left out" in (
        capsys.readouterr().err
    )
    drawn = {batches.random(1, rng=toys.rng(seed)).stride for seed in range(30)}
    assert drawn == {1, 2}
    assert {batch.stride for batch in batches.in_order(2, most=9)} == {1}


def test_classes_of_motion_are_equally_full(toys, tmp_path):
    motion = np.repeat(np.arange(30.0), 4)
    store = write(toys, tmp_path / "codes", [], motion=motion, lengths=(4,) * 30)
    words = collect(toys, store, motion_buckets=3).vocabulary
    counts = np.bincount([words.bucket_of(change) for change in range(30)])
    assert counts.tolist() == [0, 10, 10, 10]


def test_no_class_of_motion_is_empty_where_many_clips_stand_still(toys, tmp_path):
    motion = np.repeat([0.0] * 8 + [1.0, 2.0], 4)
    store = write(toys, tmp_path / "codes", [], motion=motion, lengths=(4,) * 10)
    words = collect(toys, store, motion_buckets=4).vocabulary
    found = {words.bucket_of(change) for change in (0.0, 1.0, 2.0)}
    assert found == set(range(1, words.num_buckets + 1))
    assert words.bucket_of(0.0) == 1


def test_single_frames_have_no_motion(toys, store):
    assert "motion" not in collect(toys, store, clip_frames=1).kinds
