"""UCF101: lists, groups, and what is in no list."""

import pytest

from cvg.errors import UserError

ARCHERY = "Archery/v_Archery_g01_c01.avi"
MAKEUP = "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi"
STAND = "HandstandPushups/v_HandStandPushups_g01_c01.avi"


@pytest.fixture
def ucf(site):
    site.touch(*(f"UCF-101/{name}" for name in (ARCHERY, MAKEUP, STAND)))
    site.write(
        "ucfTrainTestlist/classInd.txt", "1 ApplyEyeMakeup\r\n3 Archery\r\n37 HandstandPushups"
    )
    for fold in (1, 2, 3):
        lists(site, train=f"{MAKEUP} 1\r\n{STAND} 37\r\n", test=f"{ARCHERY}\r\n", fold=fold)
    return site


def lists(site, *, train, test, fold=1):
    site.write(f"ucfTrainTestlist/trainlist{fold:02}.txt", train)
    site.write(f"ucfTrainTestlist/testlist{fold:02}.txt", test)


def test_class_group_words_and_official_split_are_taken(ucf):
    account = ucf.run("ucf101")
    assert account.left_out == ()
    assert ucf.column("path") == [f"data/UCF-101/{name}" for name in (ARCHERY, MAKEUP, STAND)]
    assert ucf.column("split") == ["held_out", "train", "train"]
    assert ucf.column("label") == ["Archery", "ApplyEyeMakeup", "HandstandPushups"]
    assert ucf.column("caption") == ["archery", "apply eye makeup", "handstand pushups"]
    assert ucf.column("group") == ["Archery_g01", "ApplyEyeMakeup_g08", "HandstandPushups_g01"]


def test_the_fold_chooses_the_lists(ucf):
    lists(ucf, train=f"{ARCHERY} 3\n{STAND} 37\n", test=f"{MAKEUP}\n", fold=2)
    ucf.run("ucf101", fold=2)
    sides = dict(zip(ucf.column("label"), ucf.column("split"), strict=True))
    assert sides == {"ApplyEyeMakeup": "held_out", "Archery": "train", "HandstandPushups": "train"}


def test_every_line_and_every_file_is_used_or_left_out_with_its_reason(ucf, left_out):
    ucf.touch("UCF-101/Archery/v_Archery_g09_c01.avi")
    lists(
        ucf,
        train=f"{MAKEUP} 3\n{ARCHERY} 3\nArchery/v_Archery_g02_c01.avi 3\nArchery/odd.avi 3\n",
        test=f"{ARCHERY}\n../v_Archery_g01_c01.avi\n/v_Archery_g01_c01.avi\nSki/v_Ski_g01_c01.avi\n",
    )
    account = ucf.run("ucf101")
    assert ucf.column("path") == [f"data/UCF-101/{ARCHERY}"]
    assert ucf.column("split") == ["held_out"]
    assert account.found == 10
    assert left_out(account) == {
        "../v_Archery_g01_c01.avi": "the list names a path that leads out of the data",
        "/v_Archery_g01_c01.avi": "the list names a path that leads out of the data",
        "Ski/v_Ski_g01_c01.avi": "its class is not in classInd.txt",
        MAKEUP: "the number of its class is another in classInd.txt",
        ARCHERY: "listed before; the test list goes before the training list",
        "Archery/v_Archery_g02_c01.avi": "listed, but there is no such file",
        "Archery/odd.avi": "listed, but not named <Class>/v_<Class>_gNN_cNN.avi",
        "Archery/v_Archery_g09_c01.avi": "in no list of fold 1",
        STAND: "in no list of fold 1",
    }


def test_names_are_found_in_another_case_and_twins_are_left_out(ucf, left_out):
    upper = "Archery/v_Archery_g01_c02.AVI"
    twin = "Archery/v_archery_g01_c02.avi"
    ucf.touch(f"UCF-101/{upper}", f"UCF-101/{twin}")
    lists(ucf, train=f"{MAKEUP} 1\n{STAND.replace('St', 'st')} 37\n", test=f"{ARCHERY}\n{twin}\n")
    account = ucf.run("ucf101")
    assert f"data/UCF-101/{STAND}" in ucf.column("path")
    assert f"data/UCF-101/{upper}" in ucf.column("path")
    assert left_out(account) == {twin: "its name differs from another only in case"}


def test_links_to_folders_are_counted_and_not_followed(ucf, left_out, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "v_Fencing_g01_c01.avi").touch()
    (ucf.data / "UCF-101" / "Fencing").symlink_to(outside)
    assert left_out(ucf.run("ucf101")) == {"Fencing": "a link to a folder, which is not followed"}


def test_another_layout_is_refused_with_what_is_there_and_what_is_expected(site):
    site.touch("Archery/v_Archery_g01_c01.avi")
    with pytest.raises(
        UserError, match=r"found no folder UCF-101; there is Archery\. Expected:\n\n  UCF-101/"
    ):
        site.run("ucf101")
    assert not site.manifest.exists()


def test_a_missing_list_is_refused_by_name(ucf):
    (ucf.data / "ucfTrainTestlist" / "testlist03.txt").unlink()
    with pytest.raises(UserError, match=r"testlist03\.txt: no such file"):
        ucf.run("ucf101", fold=3)


def test_the_manifest_is_read_back(ucf):
    by_label = {entry.label: entry for entry in ucf.run("ucf101") and ucf.entries()}
    assert by_label["Archery"].split == "held_out"
    assert by_label["Archery"].path.samefile(ucf.data / "UCF-101" / ARCHERY)
