"""The folder of an unfinished run: whose it is, when it stays, when it goes."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.training import workspace as module
from cvg.training.workspace import Workspace, fingerprint

KEY = {"params": {"vqgan.steps": 900, "vqgan.patience": None}, "data": "abc", "threads": 1}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("cvg.locks.SECONDS_TO_WAIT", 0.0)
    return tmp_path / "state"


def interrupted(act, *, error=ZeroDivisionError, **changes):
    """Act on the folder of a run that then fails; give what `act` gives."""
    results = []

    def run():
        with Workspace.open("train_vqgan", key=KEY | changes) as workspace:
            results.append(act(workspace.folder))
            raise error

    with pytest.raises(error):
        run()
    return results[0]


def leave_behind(error=ZeroDivisionError):
    interrupted(lambda folder: (folder / "file").touch(), error=error)


def left(**changes):
    """Name what an earlier run left; leave it."""
    return interrupted(lambda folder: [path.name for path in folder.iterdir()], **changes)


def test_success_leaves_nothing(state):
    with Workspace.open("train_vqgan", key=KEY) as workspace:
        (workspace.folder / "checkpoints").mkdir()
        (workspace.folder / "checkpoints/one").touch()
        assert workspace.folder.parent == state / ".runs/train_vqgan"
    assert [path for path in state.rglob("*") if path.is_file()] == []
    assert not workspace.folder.exists()


@pytest.mark.parametrize("error", [UserError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_all_for_the_next_run(error):
    leave_behind(error)
    assert left() == ["file"]


def test_a_fresh_run_begins_anew():
    leave_behind()
    with Workspace.open("train_vqgan", key=KEY, fresh=True) as workspace:
        assert list(workspace.folder.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"data": "abd"}, {"threads": 2}, {"params": {"vqgan.steps": 901}}, {"more": None}]
)
def test_another_key_is_another_folder(changes):
    leave_behind()
    assert left(**changes) == []
    assert left() == ["file"]


keys = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=3)


@given(keys, keys)
def test_fingerprints_are_equal_exactly_where_the_keys_are(one, other):
    def shape(key):
        return {(name, type(value), value) for name, value in key.items()}

    assert (fingerprint("x", one) == fingerprint("x", other)) == (shape(one) == shape(other))
    assert fingerprint("x", one) == fingerprint("x", dict(reversed(one.items())))
    assert fingerprint("x", one) != fingerprint("y", one)


def test_a_changed_line_of_code_is_another_folder(tmp_path, monkeypatch):
    copy = tmp_path / "cvg"
    shutil.copytree(Path(module.cvg.__file__).parent, copy)
    monkeypatch.setattr(module.cvg, "__file__", str(copy / "__init__.py"))
    monkeypatch.setattr(module, "code_digest", module.code_digest.__wrapped__)
    before = fingerprint("x", KEY)
    assert fingerprint("x", KEY) == before
    with (copy / "vqgan/layers.py").open("a") as file:
        file.write("VALUE = 1\n")
    changed = fingerprint("x", KEY)
    (copy / "vqgan/layers.py").rename(copy / "vqgan/strata.py")
    assert len({before, changed, fingerprint("x", KEY)}) == 3


def test_a_second_run_is_refused_while_the_first_is_at_work(state):
    with Workspace.open("train_vqgan", key=KEY) as workspace:
        with (
            pytest.raises(UserError, match="another train_vqgan with the same") as error,
            Workspace.open("train_vqgan", key=KEY),
        ):
            pass
        assert str(workspace.folder) in str(error.value)
        assert workspace.folder.is_dir()
        with Workspace.open("train_vqgan", key=KEY | {"data": "another"}):
            pass
    with Workspace.open("train_vqgan", key=KEY):
        pass


def _die(folder):
    os.environ["CVG_STATE_DIR"] = folder
    with Workspace.open("train_vqgan", key=KEY) as workspace:
        (workspace.folder / "file").touch()
        os._exit(9)


def test_a_killed_run_holds_no_lock(state):
    process = multiprocessing.get_context("fork").Process(target=_die, args=(str(state),))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert left() == ["file"]


def test_a_place_that_cannot_be_written_is_told_with_a_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(UserError, match="let CVG_STATE_DIR name a folder"),
        Workspace.open("train_vqgan", key=KEY),
    ):
        pass


def test_without_a_wish_it_lies_in_the_project(tmp_path, monkeypatch):
    monkeypatch.delenv("CVG_STATE_DIR")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    with Workspace.open("train_vqgan", key=KEY) as workspace:
        assert workspace.folder.parent == tmp_path / "project/.runs/train_vqgan"
