"""BAIR: records as another implementation writes them, and every kind of damage."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.imports.records import BAD_DATA, BAD_LENGTH, CUT, MAX_RECORD, Damage, read_records

TRAIN = "softmotion30_44k/train/traj_0_to_255.tfrecords"
TEST = "softmotion30_44k/test/traj_0_to_255.tfrecords"


def unpacked(site, row):
    folder = site.manifest.parent
    return np.load(folder / row["path"]), np.load(folder / row["actions"])


def test_frames_and_actions_of_each_record_are_unpacked(site, bair):
    bair.write(site.data / TRAIN, bair.trajectory(1), bair.trajectory(2))
    bair.write(site.data / TEST, bair.trajectory(3))
    account = site.run("bair", fps=5.0)
    assert account.found == 3
    assert site.column("split") == ["train", "train", "held_out"]
    assert site.column("fps") == ["5.0"] * 3
    for number, row in enumerate(site.rows(), 1):
        frames, actions = unpacked(site, row)
        assert (frames.dtype, frames.shape) == (np.uint8, (30, 64, 64, 3))
        assert (actions.dtype, actions.shape) == (np.float32, (30, 4))
        np.testing.assert_array_equal(frames[:, 0, 0, 0], np.arange(30))
        assert (frames[:, 1:] == 100 + number).all()
        np.testing.assert_array_equal(actions[:, 0], number)
        np.testing.assert_array_equal(actions[:, 1], np.arange(30))


def test_the_view_chooses_the_camera(site, bair):
    bair.write(site.data / TRAIN, bair.trajectory(7))
    site.run("bair", view="main")
    frames, _ = unpacked(site, site.rows()[0])
    assert (frames[:, 1:] == 7).all()
    # DVC watches the manifest, not the clips.
    assert site.rows()[0]["view"] == "main"


def test_files_are_taken_in_the_order_of_their_numbers(site, bair):
    for first in (1024, 0, 256):
        name = f"traj_{first}_to_{first + 255}.tfrecords"
        bair.write(site.data / "train" / name, bair.trajectory(first // 256))
    site.run("bair")
    assert [unpacked(site, row)[1][0, 0] for row in site.rows()] == [0, 1, 4]


def test_damage_is_named_by_file_and_record_and_what_is_whole_is_used(site, bair, left_out):
    path = bair.write(site.data / TRAIN, *map(bair.trajectory, range(4)))
    data = bytearray(path.read_bytes())
    size = len(data) // 4
    data[size + 5000] ^= 1  # in the second record
    path.write_bytes(data[: 3 * size + 5000])  # within the fourth
    account = site.run("bair")
    assert left_out(account) == {
        "train/traj_0_to_255.tfrecords, record 2": BAD_DATA,
        "train/traj_0_to_255.tfrecords, record 4": CUT,
    }
    assert [unpacked(site, row)[1][0, 0] for row in site.rows()] == [0, 2]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    payloads=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    place=st.integers(min_value=0),
    bit=st.integers(0, 7),
)
def test_no_flipped_bit_goes_unnoticed(tmp_path, bair, payloads, place, bit):
    path = bair.write_raw(tmp_path / "a.tfrecords", *payloads)
    assert list(read_records(path)) == payloads
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    given_back = list(read_records(path))
    assert any(isinstance(record, Damage) for record in given_back)
    for record, payload in zip(given_back, payloads, strict=False):
        assert isinstance(record, Damage) or record == payload


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payloads=st.lists(st.binary(max_size=40), min_size=1, max_size=4), data=st.data())
def test_a_cut_file_gives_what_is_whole_and_says_that_it_is_cut(tmp_path, bair, payloads, data):
    path = bair.write_raw(tmp_path / "a.tfrecords", *payloads)
    content = path.read_bytes()
    kept = data.draw(st.integers(0, len(content) - 1))
    path.write_bytes(content[:kept])
    ends = np.cumsum([len(payload) + 16 for payload in payloads]).tolist()
    whole = sum(end <= kept for end in ends)
    expected = payloads[:whole] + ([] if kept in (0, *ends) else [Damage(CUT)])
    assert list(read_records(path)) == expected


def test_a_wrong_length_ends_the_file_and_nothing_of_that_size_is_read(tmp_path, bair):
    path = bair.write_raw(tmp_path / "a.tfrecords", b"one", b"two")
    data = bytearray(path.read_bytes())
    data[19 + 6] = 0xFF  # the second length is now beyond any memory
    path.write_bytes(data)
    assert list(read_records(path)) == [b"one", Damage(BAD_LENGTH)]
    long = bair.write_raw(tmp_path / "b.tfrecords", bytes(MAX_RECORD + 1))
    (damage,) = read_records(long)
    assert isinstance(damage, Damage)
    assert "longer than" in damage.reason


def test_strange_records_are_left_out_one_by_one(site, bair, left_out):
    strange = {
        "no message": b"\xff\xff\xff",
        "empty": b"",
        "no list": bair.Example().SerializeToString(),
    }
    short, wide, small, text = (bair.trajectory(1) for _ in range(4))
    del short["29/image_aux1/encoded"]
    wide["3/action"] = ([1.0] * 5, "float")
    small["3/image_aux1/encoded"] = (b"png", "byte")
    bair.write_raw(site.data / "train/a.tfrecords", *strange.values())
    text["3/action"] = ([b"left"] * 4, "byte")
    bair.write(site.data / "train/b.tfrecords", short, wide, small, text, bair.trajectory(1))
    (site.data / "train/c.tfrecords").touch()
    account = site.run("bair")
    assert len(site.rows()) == 1
    assert account.found == 9
    found = left_out(account)
    assert "not a tf.train.Example" in found["train/a.tfrecords, record 1"]
    assert "steps of image_aux1" in found["train/b.tfrecords, record 1"]
    assert "steps of action" in found["train/b.tfrecords, record 2"]
    assert "steps of image_aux1" in found["train/b.tfrecords, record 3"]
    assert "steps of action" in found["train/b.tfrecords, record 4"]
    assert found["train/c.tfrecords"] == "a file without records"


def test_where_nothing_is_whole_nothing_is_written(site, bair):
    bair.write_raw(site.data / TRAIN, b"\xff")
    with pytest.raises(UserError, match=r"no record is whole; the first, train/traj_0"):
        site.run("bair")
    assert sorted(path.name for path in site.manifest.parent.iterdir()) == ["data"]


def test_a_foreign_folder_of_clips_is_refused_and_kept(site, bair):
    bair.write(site.data / TRAIN, bair.trajectory(1))
    precious = site.manifest.parent / "clips" / "precious.mp4"
    precious.parent.mkdir()
    precious.touch()
    with pytest.raises(UserError, match=r"clips: holds files, but no clips\.json"):
        site.run("bair")
    assert precious.exists()


def test_clips_of_another_manifest_are_refused_and_those_of_this_one_replaced(site, bair):
    bair.write(site.data / TRAIN, bair.trajectory(1), bair.trajectory(2))
    site.run("bair")
    bair.write(site.data / TRAIN, bair.trajectory(9))
    site.run("bair", replace=True)
    clips = site.manifest.parent / "clips"
    assert len(list(clips.rglob("*.npy"))) == 2
    assert json.loads((clips / "clips.json").read_text())["manifest"] == "manifest.csv"
    site.manifest = site.manifest.with_name("other.csv")
    with pytest.raises(UserError, match=r"holds the clips of manifest\.csv"):
        site.run("bair")


@pytest.mark.parametrize("content", ["{}", "[]", '{"manifest": 3}'])
def test_a_strange_marker_of_clips_is_refused_and_the_clips_are_kept(site, bair, content):
    bair.write(site.data / TRAIN, bair.trajectory(1))
    marker = site.manifest.parent / "clips" / "clips.json"
    marker.parent.mkdir()
    marker.write_text(content)
    with pytest.raises(UserError, match=r"clips\.json: found no `manifest`"):
        site.run("bair")
    assert marker.read_text() == content


def test_another_layout_is_refused(site):
    site.touch("train/traj.txt")
    with pytest.raises(UserError, match=r"found no softmotion30_44k/train/\*\.tfrecords"):
        site.run("bair")


def test_the_manifest_is_read_back(site, bair):
    bair.write(site.data / TRAIN, bair.trajectory(1))
    site.run("bair")
    (entry,) = site.entries()
    assert np.load(entry.path).shape == (30, 64, 64, 3)
    assert np.load(entry.actions).shape == (30, 4)
