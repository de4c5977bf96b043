"""The corpus: every case is made, nothing of it is a twin by accident, and all ends as declared."""

import os
import re
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pytest

from cvg.errors import UserError
from cvg.frames.extract import extract
from cvg.frames.store import FrameStore
from cvg.hostile import corpus
from cvg.hostile.cases import holding
from cvg.hostile.judge import Seen, Verdict, look_up, sum_sentence
from cvg.hostile.spoilt_params import as_text, bad_params
from cvg.params import load_params
from cvg.videos.skips import NoteCode, SkipCode
from pipeline.preset import preset

SLOW_PIECES = ("8192x4320", "bomb", "long")


@pytest.fixture(scope="module")
def runs():
    return corpus.plan_runs()


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    """The corpus without its three slowest pieces."""
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    quick = [
        replace(
            run,
            pieces={
                name: holding(lambda: b"-") if any(x in name for x in SLOW_PIECES) else make
                for name, make in run.pieces.items()
            },
        )
        for run in runs
    ]
    corpus.make_corpus(folder, quick)
    return folder


def test_there_are_at_least_150_cases_and_no_title_twice(runs):
    titles = [case.title for run in runs for case in run.cases]
    titles += [mistake.case.title for mistake in bad_params()]
    assert len(titles) >= 150
    assert [title for title, count in Counter(titles).items() if count > 1] == []


def test_every_run_has_a_folder_of_its_own(runs):
    assert len({run.name for run in runs}) == len(runs)


def test_no_two_cases_of_a_run_have_the_same_place(runs):
    for run in runs:
        places = [case.row or case.file for case in run.cases]
        assert len(set(places)) == len(places), run.name


def test_codes_go_with_skips_and_notes_with_use(runs):
    for case in (case for run in runs for case in run.cases):
        expected = case.expected
        assert (expected.code is not None) == (expected.outcome == "skipped"), case.title
        assert bool(expected.says) == (expected.outcome == "stopped"), case.title
        assert not expected.notes or expected.outcome == "used", case.title


def test_the_declared_codes_cover_all_that_one_file_can_bring_about(runs):
    """Codes that need a broken decoder, or a writer beside the reader, are left."""
    codes = {case.expected.code for run in runs for case in run.cases}
    elsewhere = {
        SkipCode.CHANGED,
        SkipCode.DECODER_CRASH,
        SkipCode.OUT_OF_MEMORY,
        SkipCode.TIMEOUT,
    }
    assert set(SkipCode) - codes == elsewhere


def test_no_two_films_of_a_run_have_the_same_number(runs):
    for run in runs:
        numbers = [case.expected.planted.film for case in run.cases if case.expected.planted]
        assert len(set(numbers)) == len(numbers), run.name


def test_every_piece_is_made(made, runs):
    for run in runs:
        for name in run.pieces:
            assert os.path.lexists(made / run.name / name), f"{run.name}/{name}"


def test_nothing_lies_beside_the_corpus(made):
    assert [path.name for path in made.parent.iterdir()] == ["corpus"]


def test_a_foreign_folder_is_not_replaced(tmp_path, runs):
    (tmp_path / "thesis.txt").write_text("text")
    with pytest.raises(UserError, match=r"cases\.json"):
        corpus.make_corpus(tmp_path, runs[-1:])
    assert (tmp_path / "thesis.txt").read_text() == "text"


@pytest.mark.parametrize("name", ["demo", "quick", "large", "huge"])
def test_mistakes_in_parameters_stop_with_their_line(root, tmp_path, name):
    shutil.copytree(root / "presets", tmp_path / "presets")
    params = Path(shutil.copy(root / "params.yaml", tmp_path))
    preset(name, overrides=False, params_path=params)
    verdicts = list(corpus.try_params(tmp_path, load_params(params)))
    assert [one.case.title for one in verdicts if not one.holds] == []


def test_the_text_that_is_spoilt_is_good_before(root, tmp_path):
    params = load_params(root / "params.yaml")
    (tmp_path / "params.yaml").write_text(as_text(params))
    assert load_params(tmp_path / "params.yaml") == params


def test_no_threshold_of_the_user_changes_what_is_declared(root):
    params = load_params(root / "params.yaml").extract
    strange = params.model_copy(
        update={"folder_files": "all", "shot_ratio": 9.0, "shot_change": 99.0, "min_frames": 99}
    )
    assert corpus.hostile_params(strange, {}) == corpus.hostile_params(params, {})


def test_the_sum_counts_everything(runs):
    case = runs[0].cases[0]
    seen = [Seen(outcome="used"), Seen(outcome="skipped"), Seen(outcome="lost")]
    verdicts = [Verdict(run="films", case=case, seen=one) for one in seen]
    assert sum_sentence(verdicts) == (
        "tried 3 = used 1 + skipped 1 + stopped 0; lost 1; hung 0; crashed 0; as declared 1 of 3"
    )


@pytest.mark.parametrize(
    "seen",
    [
        Seen(outcome="skipped", code=SkipCode.CORRUPT),
        Seen(outcome="used", notes=frozenset({NoteCode.STATIC})),
        Seen(outcome="used", wrong="its frames are not upright"),
        Seen(outcome="lost"),
    ],
)
def test_every_difference_from_what_was_declared_counts(runs, seen):
    case = runs[0].cases[0]
    assert case.expected.outcome == "used"
    assert Verdict(run="films", case=case, seen=Seen(outcome="used")).holds
    assert not Verdict(run="films", case=case, seen=seen).holds


@pytest.fixture(scope="module")
def extracted(root, runs, tmp_path_factory):
    """One run that was extracted: a table of two films."""
    folder = tmp_path_factory.mktemp("hostile") / "corpus"
    (run,) = (run for run in runs if run.name == "Windows line ends")
    corpus.make_corpus(folder, [run])
    params = corpus.hostile_params(load_params(root / "params.yaml").extract, {})
    table, out = folder / run.name / run.manifest, folder / "store"
    return run, extract(table, out=out, params=params, seed=0, workers=1), FrameStore.open(out)


def test_what_is_planted_is_found(extracted):
    (seen,) = look_up(*extracted)
    assert (seen.outcome, seen.wrong) == ("used", "")


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"film": 9}, "its frames are of the films [1], not of 9"),
        ({"frames": tuple(range(33))}, "its frames are [0, 1"),
        ({"frames": tuple(range(1, 33))}, "its frames are [0, 1"),
        ({"frames": tuple(range(50)), "at_least": 40}, "its frames are [0, 1"),
        ({"clear": True}, "what is transparent does not show the background"),
    ],
)
def test_other_frames_than_those_planted_are_wrong(extracted, change, wrong):
    run, report, store = extracted
    (case,) = run.cases
    planted = replace(case.expected.planted, **change)
    case = replace(case, expected=replace(case.expected, planted=planted))
    (seen,) = look_up(replace(run, cases=(case,)), report, store)
    assert wrong in seen.wrong


def test_a_case_that_no_list_names_is_lost(extracted):
    run, report, store = extracted
    cases = (run.cases[0], replace(run.cases[0], file="c.mp4", row=9))
    assert [one.outcome for one in look_up(replace(run, cases=cases), report, store)] == [
        "used",
        "lost",
    ]


def test_a_video_that_is_of_no_case_is_wrong(extracted):
    run, report, store = extracted
    (seen,) = look_up(replace(run, others=frozenset()), report, store)
    assert "is not of this corpus" in seen.wrong


@pytest.mark.slow
@pytest.mark.ci
def test_everything_ends_as_declared(root, runs, tmp_path):
    params = load_params(root / "params.yaml")
    corpus.make_corpus(tmp_path / "corpus", runs)
    reset_peak()
    before = peak_mb()
    verdicts = list(
        corpus.try_runs(
            tmp_path / "corpus", runs, params=params.extract, seed=params.seed, workers=2
        )
    )
    wrong = [f"{one.run}: {one.case.title}: {one.seen}" for one in verdicts if not one.holds]
    assert wrong == []
    assert children_that_decode() == []
    # Frames of 8192 x 4320 pixels, 106 MB each, and the frames of 93 films stay in the children.
    assert peak_mb() - before < 150
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1000


def children_that_decode():
    """Give the processes that the server of child processes has forked and that still run."""
    server = forkserver._forkserver._forkserver_pid
    found = []
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # others come and go
            state, parent = process.read_text().rpartition(")")[2].split()[:2]
            found += [process.parent.name] if int(parent) == server and state != "Z" else []
    return found


def test_the_traps_of_pickles_spring_where_they_are_unpickled(made, runs):
    declared = [case for run in runs for case in run.cases if case.expected.absent is not None]
    pickles = [path for path in made.rglob("*.npy") if b"unpickled" in path.read_bytes()]
    assert len(pickles) == len(declared) > 0
    for path in pickles:
        trap = made.parent / declared[0].expected.absent
        assert not trap.exists()
        with suppress(Exception):
            np.load(path, allow_pickle=True)
        assert trap.is_dir()
        trap.rmdir()


def test_a_pickle_that_was_unpickled_is_seen_and_its_trace_removed(
    root, runs, tmp_path, monkeypatch
):
    def extract(manifest, **_):
        with suppress(Exception):
            np.load(manifest.parent / "pickle.npy", allow_pickle=True)
        raise UserError("ended")

    monkeypatch.setattr(corpus, "extract", extract)
    rows = next(run for run in runs if run.name == "rows")
    rows = replace(rows, pieces={"pickle.npy": rows.pieces["pickle.npy"]})
    params = load_params(root / "params.yaml").extract
    folder = tmp_path / "corpus"
    corpus.make_corpus(folder, [rows])
    verdicts = list(corpus.try_runs(folder, [rows], params=params, seed=0, workers=1))
    for one in verdicts:
        trapped = one.case.expected.absent is not None
        assert ("it was unpickled" in one.seen.wrong) == trapped, one.case.title
    corpus.make_corpus(folder, [rows])
    assert [path.name for path in tmp_path.iterdir()] == ["corpus"]
