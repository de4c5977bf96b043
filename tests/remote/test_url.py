"""URLs: what counts as one, and what is said where fsspec cannot read it."""

import fsspec
import pytest

from cvg.errors import UserError
from cvg.remote.url import Url, open_file_system, read_place, read_url


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("s3://bucket/frames", "s3://bucket/frames/store.json"),
        ("s3://bucket/frames/", "s3://bucket/frames/store.json"),
        ("s3://bucket", "s3://bucket/store.json"),
        ("zip://::s3://bucket/a.zip", "zip://store.json::s3://bucket/a.zip"),
        ("zip://in::s3://bucket/a.zip", "zip://in/store.json::s3://bucket/a.zip"),
    ],
)
def test_a_file_of_a_folder_has_a_url(folder, file):
    assert Url(folder) / "store.json" == Url(file)
    assert (Url(folder) / "store.json").name == "store.json"


def test_what_is_no_url_is_a_path(tmp_path):
    assert read_place("s3://bucket/a") == Url("s3://bucket/a")
    assert read_place(str(tmp_path)) == tmp_path


def test_a_password_is_refused_and_not_repeated():
    with pytest.raises(UserError, match="found a password in the URL") as caught:
        read_url("zip://a::ftp://me:geheim@host/a.zip")
    assert "geheim" not in str(caught.value)


def test_a_protocol_that_nobody_knows_is_named():
    with pytest.raises(UserError, match=r"nowhere://a: cannot be read .*nowhere"):
        open_file_system("nowhere://a")


def test_a_package_that_is_missing_is_named_as_fsspec_names_it():
    fsspec.register_implementation("cvgtest", "no_such.Files", True, "Install no-such to access it")
    expected = r"cvgtest://a: the package for this protocol is missing: Install no-such"
    with pytest.raises(UserError, match=expected):
        open_file_system("cvgtest://a")
