"""Moving MNIST: the array is cut along its second axis."""

import io

import numpy as np
import pytest

from cvg.errors import UserError

COUNT = 12


def sequences(count=COUNT, length=20):
    return np.random.default_rng(0).integers(0, 256, (length, count, 8, 8), dtype=np.uint8)


def save(site, array):
    file = io.BytesIO()
    np.save(file, array)
    return site.write("mnist_test_seq.npy", file.getvalue())


def test_each_sequence_becomes_a_clip_time_first(site):
    array = sequences()
    save(site, array)
    account = site.run("moving-mnist")
    assert (account.found, len(account.rows)) == (COUNT, COUNT)
    for number, row in enumerate(site.rows()):
        clip = np.load(site.manifest.parent / row["path"])
        np.testing.assert_array_equal(clip, array[:, number])
    assert "split" not in site.rows()[0]


def test_the_last_sequences_are_held_out(site):
    save(site, sequences())
    site.run("moving-mnist", held_out=5, fps=10.0)
    assert site.column("split") == ["train"] * 7 + ["held_out"] * 5
    assert site.column("fps") == ["10.0"] * COUNT


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 20, 8, 8), np.uint8), r"found uint8 \[10, 20, 8, 8\], expected"),
        (np.zeros((20, 3, 8, 8), np.float32), r"found float32"),
        (np.zeros((20, 8, 8), np.uint8), r"found uint8 \[20, 8, 8\]"),
        (np.zeros((20, 0, 8, 8), np.uint8), r"found uint8 \[20, 0, 8, 8\]"),
    ],
)
def test_another_array_is_refused(site, array, message):
    save(site, array)
    with pytest.raises(UserError, match=message):
        site.run("moving-mnist")


def test_a_cut_file_a_pickle_and_an_archive_are_refused_and_nothing_is_written(site):
    path = save(site, sequences())
    whole = path.read_bytes()
    archive = io.BytesIO()
    np.savez(archive, a=np.zeros(3))
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object), allow_pickle=True)
    torn_archive = b"PK\x03\x04" + bytes(100)
    torn_header = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'shape': (20, 8,".ljust(128)
    torn = (whole[:-100], whole[:20], b"", torn_archive, torn_header)
    for content in (*torn, archive.getvalue(), pickled.getvalue()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"mnist_test_seq\.npy: "):
            site.run("moving-mnist")
    assert sorted(path.name for path in site.manifest.parent.iterdir()) == ["data"]


def test_holding_out_all_of_it_and_a_missing_file_are_refused(site):
    with pytest.raises(UserError, match=r"found no file mnist_test_seq\.npy; there is nothing"):
        site.run("moving-mnist")
    save(site, sequences())
    with pytest.raises(UserError, match=r"--held-out: found 12, expected less than the 12"):
        site.run("moving-mnist", held_out=COUNT)


def test_the_manifest_is_read_back(site):
    save(site, sequences())
    site.run("moving-mnist", held_out=2)
    entries = site.entries()
    assert [entry.split for entry in entries] == ["train"] * 10 + ["held_out"] * 2
