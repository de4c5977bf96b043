import os
import subprocess
import sys
from pathlib import Path

import pytest

from cvg import locks as module
from cvg.errors import UserError
from cvg.locks import one_writer, only_one


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(module, "SECONDS_TO_WAIT", 0.0)
    return tmp_path / "state"


def test_one_output_has_one_writer_by_whatever_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with one_writer(Path("out"), stage="extract"):
        with (
            pytest.raises(UserError, match=r"out: another extract is writing it; wait for it"),
            one_writer(tmp_path / "in/../out", stage="extract"),
        ):
            pass
        with one_writer(Path("other"), stage="extract"):
            pass
    with one_writer(Path("out"), stage="extract"):
        pass


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_nothing_is_left_of_a_lock(state, error):
    def work():
        with one_writer(Path("out"), stage="extract"):
            assert list(state.rglob("*.lock"))
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()
    assert not list(state.rglob("*.lock"))


def test_a_holder_that_is_killed_is_waited_for(tmp_path, monkeypatch, capsys):
    path = tmp_path / "lock"
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom cvg.locks import only_one\n"
        "with only_one(Path(sys.argv[1]), busy='x'):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        monkeypatch.setattr(module, "SECONDS_TO_WAIT", 20.0)
        monkeypatch.setattr(module.time, "sleep", lambda _: process.kill())
        with only_one(path, busy="out: another extract is writing it"):
            process.wait()
    assert "another extract is writing it; waiting up to 20 s" in capsys.readouterr().err


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    flock, calls = module.fcntl.flock, []

    def removing(file, operation):
        flock(file, operation)
        if not calls:
            path.unlink()  # as the one does that ends just now
        calls.append(operation)

    monkeypatch.setattr(module.fcntl, "flock", removing)
    with module._lock(path) as file:
        assert len(calls) == 2
        assert path.stat().st_ino == os.fstat(file.fileno()).st_ino


def test_a_place_that_cannot_be_written_is_told_with_a_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CVG_STATE_DIR", str(tmp_path / "file"))
    with (
        pytest.raises(UserError, match="let CVG_STATE_DIR name a folder"),
        one_writer(Path("out"), stage="extract"),
    ):
        pass
