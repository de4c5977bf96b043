"""What all importers share: paths, options, names, and the count of everything."""

import csv
import errno
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.imports import registry
from cvg.imports.account import Import, Ledger, Request
from cvg.imports.folder import IGNORED
from cvg.imports.kinds import Kind
from cvg.imports.registry import IMPORTERS
from cvg.imports.tree import list_tree
from cvg.videos.manifest import read_manifest


def test_every_kind_has_an_importer():
    assert set(IMPORTERS) == set(Kind)


def test_a_folder_of_videos_becomes_a_manifest_with_captions_to_edit(site, films):
    films.write(site.data / "ApplyEyeMakeup" / "a b.mp4", frames=2)
    films.write(site.data / "loose.MP4", frames=2)
    site.write("empty.mp4", "")
    site.touch("notes.txt", "more.txt")
    account = site.run("folder")
    rows = {row.pop("path"): row for row in site.rows()}
    assert rows == {
        "data/ApplyEyeMakeup/a b.mp4": {"caption": "apply eye makeup", "label": "ApplyEyeMakeup"},
        "data/loose.MP4": {"caption": "", "label": ""},
    }
    (empty, reason), *ignored = account.left_out
    assert empty == "empty.mp4"
    assert reason.startswith("EMPTY_FILE: found 0 bytes")
    assert ignored == [(".txt", IGNORED)] * 2
    assert account.found == 5


def test_data_and_manifest_can_be_moved_together(site, tmp_path):
    site.touch("a.mp4")
    site.run("folder")
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (site.data, site.manifest):
        shutil.move(path, moved / path.name)
    (entry,) = read_manifest(moved / "manifest.csv").entries
    assert entry.path.samefile(moved / "data" / "a.mp4")


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ("data/m.csv", "a.mp4"),
        ("m.csv", "data/a.mp4"),
        ("beside/m.csv", "../data/a.mp4"),
        ("far/away/m.csv", "{data}/a.mp4"),
    ],
)
def test_paths_are_relative_where_the_data_lie_below_or_beside(site, tmp_path, manifest, path):
    site.touch("a.mp4")
    site.manifest = tmp_path / manifest
    site.run("folder")
    assert site.column("path") == [path.format(data=site.data)]
    assert site.entries()[0].path.samefile(site.data / "a.mp4")


def test_a_manifest_behind_a_link_names_its_files_all_the_same(site, tmp_path):
    site.touch("a.mp4")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    site.manifest = tmp_path / "link" / "m.csv"
    site.run("folder")
    assert site.entries()[0].path.samefile(site.data / "a.mp4")


def test_names_that_a_manifest_cannot_hold_are_left_out(site):
    site.touch("good.mp4")
    for name in (b"caf\xe9.mp4", b" a.mp4"):
        (site.data / os.fsdecode(name)).write_bytes(b"x")
    site.manifest = site.data / "m.csv"
    account = site.run("folder")
    assert site.column("path") == ["good.mp4"]
    assert {what for what, _ in account.left_out} == {"caf\\xe9.mp4", " a.mp4"}


def test_an_existing_manifest_is_replaced_only_when_asked(site):
    site.touch("a.mp4")
    site.manifest.write_text("precious")
    with pytest.raises(UserError, match=r"manifest\.csv: is there already; .* --force"):
        site.run("folder")
    assert site.manifest.read_text() == "precious"
    site.run("folder", replace=True)
    assert site.column("path") == ["data/a.mp4"]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("ucf101", {"view": "main"}, r"--view: ucf101 does not take this option; it takes --fold"),
        ("something", {"held_out": 3}, r"--held-out: something does not take .* takes none"),
    ],
)
def test_an_option_of_another_kind_is_refused(site, kind, options, message):
    with pytest.raises(UserError, match=message):
        site.run(kind, **options)


def test_strange_paths_are_refused_by_name(site, tmp_path):
    site.manifest = tmp_path / "manifest.txt"
    with pytest.raises(UserError, match=r"manifest\.txt: expected a name that ends with \.csv"):
        site.run("folder")
    site.manifest = tmp_path / "m.csv"
    site.manifest.mkdir()
    with pytest.raises(UserError, match=r"m\.csv: found a folder"):
        site.run("folder", replace=True)
    site.manifest = tmp_path / "n.csv"
    file = tmp_path / "file"
    file.touch()
    for path, message in ((tmp_path / "absent", "no such folder"), (file, "found a file")):
        site.data = path
        with pytest.raises(UserError, match=message):
            site.run("folder")


def test_a_manifest_that_cannot_be_written_is_said(site, tmp_path, monkeypatch):
    site.touch("a.mp4")
    (tmp_path / "file").touch()
    site.manifest = tmp_path / "file" / "deep" / "m.csv"
    with pytest.raises(UserError, match=r"file/deep: .* --out where files can be written"):
        site.run("folder")

    def refuse(path, rows):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(registry, "write_manifest", refuse)
    site.manifest = tmp_path / "m.csv"
    with pytest.raises(UserError, match=r"m\.csv: Permission denied; expected"):
        site.run("folder")


def test_where_nothing_can_be_used_no_manifest_is_written(site):
    site.write("empty.mp4", "")
    account = site.run("folder")
    assert (account.found, account.rows) == (1, ())
    assert not site.manifest.exists()


def test_what_is_found_is_used_or_left_out():
    with pytest.raises(AssertionError, match=r"found 3 != rows 1 \+ left out 1"):
        Import(kind=Kind.SKY, rows=({"path": "a"},), left_out=(("b", "c"),), found=3)


def test_captions_with_commas_and_quotes_survive(site):
    name = 'a, "b"'
    site.touch(f"{name}/x.mp4")
    site.run("folder")
    with site.manifest.open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == [name]


@pytest.mark.slow
@pytest.mark.ci
def test_a_deep_tree_is_listed_and_a_link_in_a_circle_is_not_followed(tmp_path):
    deep = [tmp_path]
    while len(deep) < 1100:
        deep.append(deep[-1] / "d")
        deep[-1].mkdir()
    film, circle = deep[-1] / "a.mp4", deep[1] / "circle"
    film.touch()
    circle.symlink_to(tmp_path)
    tree = list_tree(tmp_path, {".mp4"})
    # Taken away again, because pytest's own cleaning recurses.
    for path in (film, circle):
        path.unlink()
    for folder in reversed(deep[1:]):
        folder.rmdir()
    assert [name.rpartition("/")[2] for name in tree.names] == ["a.mp4"]
    assert tree.links == ("d/circle",)


def test_links_out_of_a_folder_are_followed_on_demand(site, films, tmp_path):
    films.write(tmp_path / "far.mp4", frames=2)
    films.write(site.data / "near.mp4", frames=2)
    (site.data / "link.mp4").symlink_to(tmp_path / "far.mp4")
    ((name, reason),) = site.run("folder").left_out
    assert name == "link.mp4"
    assert "--follow-links follows it" in reason
    assert site.run("folder", replace=True, follow_links=True).left_out == ()
    assert len(site.rows()) == 2


def test_texts_that_a_manifest_cannot_hold_are_left_out_and_shown_escaped(site):
    ledger = Ledger(Kind.FOLDER, Request(folder=site.data, manifest=site.manifest))
    ledger.use(site.data / "a.mp4", what="a\x1b.mp4", label="x\0y")
    ledger.leave("\ud800", "odd")
    account = ledger.close(found=2)
    assert account.rows == ()
    (first, reason), (second, _) = account.left_out
    assert "\x1b" not in first
    assert "NUL" in reason
    assert second.isprintable()


@given(st.text(st.characters()))
def test_whatever_is_left_out_can_be_printed_on_one_line(text):
    ledger = Ledger(Kind.FOLDER, Request(folder=Path("data"), manifest=Path("m.csv")))
    ledger.leave(text, "odd")
    ((what, _),) = ledger.close(found=1).left_out
    assert not {unicodedata.category(letter) for letter in what} & {"Cc", "Cs", "Zl", "Zp"}
