"""Kinetics: folders, tables, and where they disagree."""

import pytest

from cvg.errors import UserError

A, B, C = "-3B32lodo2M", "_dbcJuKJQNs", "0wR5jVB-WPk"
HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"


def test_class_folders_give_label_words_split_and_group(site):
    site.touch(
        f"train/air drumming/{A}_000040_000050.mp4",
        f"val/air_drumming/{B}_000001_000011.MP4",
        f"test/abseiling/{C}_000001_000011.mkv",
    )
    assert site.run("kinetics").left_out == ()
    by_group = {row["group"]: row for row in site.rows()}
    assert {group: row["split"] for group, row in by_group.items()} == {
        A: "train",
        B: "held_out",
        C: "held_out",
    }
    assert by_group[B]["label"] == by_group[B]["caption"] == "air drumming"
    assert by_group[A]["path"] == f"data/train/air drumming/{A}_000040_000050.mp4"
    assert not {"start", "end"} & by_group[A].keys()


def test_class_folders_without_a_split_leave_it_open(site):
    site.touch(f"abseiling/{A}_000040_000050.mp4", f"abseiling/{A}_000060_000070.mp4")
    site.run("kinetics")
    assert site.column("group") == [A, A]
    assert "split" not in site.rows()[0]


def test_tables_say_class_and_split_of_flat_folders(site, left_out):
    site.touch(
        f"train/{A}_000040_000050.mp4", f"val/{B}_000001_000011.mp4", f"train/{C}_000001_000011.mp4"
    )
    site.write(
        "annotations/train.csv",
        f'{HEADER}"air drumming",{A},40,50,train,0\r\nyoga,{C},7,17,train,0\r\n',
    )
    site.write("annotations/val.csv", f"{HEADER}abseiling,{B},1,11,val,0\n")
    account = site.run("kinetics")
    by_group = {row["group"]: row for row in site.rows()}
    assert {group: row["label"] for group, row in by_group.items()} == {
        A: "air drumming",
        B: "abseiling",
        C: "",
    }
    assert by_group[B]["split"] == "held_out"
    assert left_out(account) == {f"{C}_000007_000017": "in a table, but there is no such file"}


@pytest.mark.parametrize("order", [("train", "val"), ("val", "train")])
def test_what_one_row_holds_out_is_held_out(site, order):
    site.touch(f"{A}_000040_000050.mp4")
    rows = "".join(f"yoga,{A},40,50,{split},0\n" for split in order)
    site.write("all.csv", HEADER + rows)
    site.run("kinetics")
    assert site.column("split") == ["held_out"]


def test_clips_without_a_class_beside_lists_of_another_format_are_a_warning(site):
    site.touch(f"train/{A}_000040_000050.mp4", "annotations/train.txt")
    (warning,) = site.run("kinetics").warnings
    assert "1 clips have no class" in warning
    assert "train.txt" in warning


def test_official_test_tables_have_no_label(site):
    site.touch(f"{A}_000040_000050.mp4")
    table = site.write("k.csv", f"youtube_id,time_start,time_end,split\n{A},40,50,test\n")
    site.run("kinetics", annotations=[table])
    (row,) = site.rows()
    assert row == {"path": f"data/{A}_000040_000050.mp4", "split": "held_out", "group": A}


def test_all_that_is_not_used_is_counted(site, left_out):
    site.touch(
        f"train/yoga/{A}_000040_000050.mp4",
        f"val/yoga/{A}_000040_000050.mp4",
        f"train/yoga/{B}.mp4",
        f"train/yoga/more/{B}_000001_000011.mp4",
        f"train/yoga/{C}_000001_000011.mp4",
        f"train/yoga/{C}_000002_000012.mp4",
        f"replacement/replacement_for_corrupted_k400/{A}_000040_000050.mp4",
    )
    site.write(
        "train.csv",
        f"{HEADER}abseiling,{C},1,11,train,0\nyoga,{C},2,12,validate,0\nyoga,{C},2,12,train,0\n"
        f"yoga,{C},x,12,train,0\n",
    )
    site.write("unrelated.csv", "a,b\n1,2\n")
    account = site.run("kinetics")
    assert site.column("path") == [f"data/val/yoga/{A}_000040_000050.mp4"]
    assert account.found == 9
    assert {what: reason for what, reason in account.left_out if "csv" not in what} == {
        f"train/yoga/{A}_000040_000050.mp4": "the same clip as another file",
        f"train/yoga/{B}.mp4": "not named <youtube id>_<start>_<end>",
        f"train/yoga/more/{B}_000001_000011.mp4": "not in <split>/<class> or <class>",
        f"train/yoga/{C}_000001_000011.mp4": "its folder and the table name different classes",
        f"train/yoga/{C}_000002_000012.mp4": (
            "its folder and the table put it on different sides of the split"
        ),
        f"replacement/replacement_for_corrupted_k400/{A}_000040_000050.mp4": (
            "a replacement of a damaged clip; copy it over the clip of that name"
        ),
    }
    assert [reason for what, reason in account.left_out if "csv" in what] == [
        "in the tables twice",
        "a row whose times are no numbers",
    ]


def test_a_folder_without_such_names_and_a_strange_table_are_refused(site):
    table = site.write("strange.csv", "a,b\n1,2\n")
    with pytest.raises(UserError, match=r"found no video <youtube id>_<start>_<end>; there is"):
        site.run("kinetics")
    site.touch(f"{A}_000040_000050.mp4")
    with pytest.raises(UserError, match=r"strange\.csv: the header lacks one of youtube_id"):
        site.run("kinetics", annotations=[table])


def test_the_manifest_is_read_back(site):
    site.touch(f"train/yoga/{A}_000040_000050.mp4")
    site.run("kinetics")
    (entry,) = site.entries()
    assert (entry.label, entry.split, entry.group) == ("yoga", "train", A)
