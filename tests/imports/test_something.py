"""Something-Something V2: JSON lists, and files that they do not name."""

import json

import pytest

from cvg.errors import UserError

VIDEOS = "20bn-something-something-v2"
TRAIN = {
    "id": "78687",
    "label": "holding potato next to vicks vaporub bottle",
    "template": "Holding [something] next to [something]",
    "placeholders": ["potato", "vicks vaporub bottle"],
}
CLASSES = {"Holding something next to something": "0", "Throwing something": "1"}


@pytest.fixture
def sthv2(site):
    site.touch(*(f"{VIDEOS}/{name}" for name in ("78687.webm", "5.webm", "1420.WEBM")))
    put(site, "train", [TRAIN])
    put(site, "validation", [TRAIN | {"id": "5", "label": "holding a cup"}])
    put(site, "test", [{"id": "1420"}])
    put(site, "labels", CLASSES)
    return site


def put(site, name, value):
    site.write(f"labels/{name}.json", json.dumps(value))


def test_captions_classes_and_splits_come_from_the_lists(sthv2):
    assert sthv2.run("something").left_out == ()
    assert sthv2.rows() == [
        {
            "path": f"data/{VIDEOS}/1420.WEBM",
            "caption": "",
            "label": "",
            "split": "held_out",
        },
        {
            "path": f"data/{VIDEOS}/5.webm",
            "caption": "holding a cup",
            "label": "Holding something next to something",
            "split": "held_out",
        },
        {
            "path": f"data/{VIDEOS}/78687.webm",
            "caption": "holding potato next to vicks vaporub bottle",
            "label": "Holding something next to something",
            "split": "train",
        },
    ]


def test_answers_name_the_classes_of_the_test_videos(sthv2):
    sthv2.write("labels/test-answers.csv", "1420;Throwing something\r\n")
    sthv2.run("something")
    assert sthv2.rows()[0]["label"] == "Throwing something"


def test_the_first_packing_of_the_lists_is_read_too(sthv2):
    for path in list((sthv2.data / "labels").iterdir()):
        path.rename(sthv2.data / f"something-something-v2-{path.name}")
    assert len(sthv2.run("something").rows) == 3


def test_entries_without_a_file_and_files_without_an_entry_are_counted(sthv2, left_out):
    sthv2.touch(f"{VIDEOS}/99.webm", f"{VIDEOS}/more/5.webm")
    strange = TRAIN | {"id": "99", "template": "Eating [something]"}
    put(
        sthv2,
        "train",
        [TRAIN, TRAIN, {"id": "../../5"}, {"label": "no id"}, 7, TRAIN | {"id": "5"}, strange],
    )
    account = sthv2.run("something")
    assert account.found == 10
    assert left_out(account) == {
        "train.json, entry 2, id 78687": (
            "listed before; test goes before validation, validation before train"
        ),
        "train.json, entry 3, id ../../5": "listed, but there is no such file",
        "train.json, entry 4": "an entry without an id",
        "train.json, entry 5": "an entry without an id",
        "train.json, entry 6, id 5": (
            "listed before; test goes before validation, validation before train"
        ),
        "train.json, entry 7, id 99": "its template is not in labels.json",
        "5.webm": "another file has the same id",
    }


def test_files_in_no_list_are_counted(sthv2, left_out):
    sthv2.touch(f"{VIDEOS}/99.webm")
    assert left_out(sthv2.run("something")) == {"99.webm": "a file in no list"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"train\.json: not JSON"),
        ("{}", r"train\.json: found dict, expected a list"),
        ("[" * 100_000, r"train\.json: not JSON"),
        ("[" + "9" * 5000 + "]", r"train\.json: not JSON"),
        (b"[\xff]", r"train\.json: found a byte that is not UTF-8"),
    ],
)
def test_what_is_no_list_is_refused_with_its_file(sthv2, text, message):
    sthv2.write("labels/train.json", text)
    with pytest.raises(UserError, match=message):
        sthv2.run("something")


def test_another_layout_is_refused(site):
    with pytest.raises(UserError, match=rf"found no folder {VIDEOS}; there is nothing"):
        site.run("something")
    site.touch(f"{VIDEOS}/1.webm")
    with pytest.raises(UserError, match=r"found no labels/train\.json, validation\.json or test"):
        site.run("something")


def test_the_manifest_is_read_back(sthv2):
    sthv2.run("something")
    captions = [entry.caption for entry in sthv2.entries()]
    assert captions == [None, "holding a cup", "holding potato next to vicks vaporub bottle"]
