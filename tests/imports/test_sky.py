"""Sky Time-lapse: folders of frames, grouped by the video that they are cut from."""

import pytest

from cvg.errors import UserError


def put_frames(site, folder, count=3):
    site.touch(*(f"{folder}/07U1_frames_{number:08}.jpg" for number in range(46, 46 + count)))


def test_each_folder_of_frames_is_a_clip_and_its_long_video_the_group(site):
    for part in (1, 2):
        put_frames(site, f"sky_train/07U1fSrk9oI/07U1fSrk9oI_{part}")
    put_frames(site, "sky_test/0a b/0a b_1")
    site.write("sky_test/0a b/0a b_1/x.JPG", "x")
    account = site.run("sky", fps=25.0)
    assert account.left_out == ()
    assert site.column("path") == [
        "data/sky_test/0a b/0a b_1",
        "data/sky_train/07U1fSrk9oI/07U1fSrk9oI_1",
        "data/sky_train/07U1fSrk9oI/07U1fSrk9oI_2",
    ]
    assert site.column("group") == ["0a b", "07U1fSrk9oI", "07U1fSrk9oI"]
    assert site.column("split") == ["held_out", "train", "train"]
    assert site.column("fps") == ["25.0"] * 3


def test_parts_that_lie_side_by_side_are_grouped_by_their_name(site):
    for name in ("a_b_1", "a_b_2", "c"):
        put_frames(site, f"sky_train/{name}")
    site.run("sky")
    assert site.column("group") == ["a_b", "a_b", "c"]


def test_what_is_no_clip_is_counted(site, left_out, tmp_path):
    put_frames(site, "sky_train/a/a_1")
    site.touch("sky_train/loose.jpg", "sky_train/b/b_1/notes.txt")
    (site.data / "sky_test" / "empty").mkdir(parents=True)
    (site.data / "sky_test" / "link").symlink_to(tmp_path)
    account = site.run("sky")
    assert account.found == 5
    assert left_out(account) == {
        "sky_train/loose.jpg": "an image outside of the folders of the clips",
        "sky_train/b/b_1": "a folder without images",
        "sky_test/empty": "a folder without images",
        "sky_test/link": "a link to a folder, which is not followed",
    }


def test_another_layout_is_refused(site):
    put_frames(site, "train/a/a_1")
    with pytest.raises(UserError, match=r"no folder of images in sky_train or sky_test; there is"):
        site.run("sky")


def test_the_manifest_is_read_back(site):
    put_frames(site, "sky_train/a/a_1")
    site.run("sky")
    (entry,) = site.entries()
    assert (entry.split, entry.group) == ("train", "a")
    assert entry.path.samefile(site.data / "sky_train/a/a_1")
