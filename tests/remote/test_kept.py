"""Files that are kept open."""

import pickle

import pytest

from cvg.remote import kept
from cvg.remote.kept import OpenFiles
from cvg.remote.stored import LocalFiles, Stored, checksum_of


@pytest.fixture
def files(tmp_path):
    """Five files, and what is known of them."""
    stored = []
    for number in range(5):
        path = tmp_path / f"{number}.txt"
        path.write_text(str(number))
        checksum = checksum_of(path, "sha256")
        stored.append(Stored(name=path.name, algorithm="sha256", checksum=checksum))
    return stored


class Counted:
    """Reads files, and notes which."""

    def __init__(self):
        self.names = []

    def __call__(self, path):
        self.names.append(path.name)
        return path.read_text()


def test_a_file_is_opened_once(tmp_path, files):
    opened, read = OpenFiles(LocalFiles(tmp_path, again="")), Counted()
    for _ in range(3):
        assert [opened.get(file, read) for file in files] == list("01234")
    assert read.names == [file.name for file in files]


def test_of_many_files_those_opened_first_are_closed(tmp_path, files, monkeypatch):
    monkeypatch.setattr(kept, "MOST_OPEN", 2)
    opened, read = OpenFiles(LocalFiles(tmp_path, again="")), Counted()
    for number in (0, 1, 2, 1, 2, 0):
        opened.get(files[number], read)
        assert len(opened._handles) <= 2
    assert read.names == ["0.txt", "1.txt", "2.txt", "0.txt"]


def test_a_file_that_is_not_kept_any_more_is_let_go(tmp_path, files, monkeypatch):
    local = LocalFiles(tmp_path, again="")
    opened, read = OpenFiles(local), Counted()
    opened.get(files[0], read)
    monkeypatch.setattr(local, "keeps", lambda file: file.name != "0.txt")
    opened.get(files[1], read)
    assert [file.name for file in opened._handles] == ["1.txt"]


def test_what_is_open_is_not_pickled(tmp_path, files):
    opened, read = OpenFiles(LocalFiles(tmp_path, again="")), Counted()
    with (tmp_path / "0.txt").open() as handle:  # which pickle refuses
        opened.get(files[0], lambda path: handle)
        again = pickle.loads(pickle.dumps(opened))
    assert again.get(files[0], read) == "0"
