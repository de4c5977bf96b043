"""A DVC remote in a folder: a transfer that is killed is gone on with; damage is found."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ci]

FILES, FILE_BYTES = 300, 100_000


def run(folder, *words):
    subprocess.run([*words], cwd=folder, check=True, capture_output=True)


def dvc(folder, *words):
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True)


def objects(folder):
    return [path for path in (folder / "files/md5").glob("*/*") if not path.name.endswith(".tmp")]


def whole(folder):
    """Name the objects whose content has the hash of their name."""
    return {
        path.parent.name + path.name
        for path in objects(folder)
        if path.suffix == ".dir"
        or hashlib.md5(path.read_bytes()).hexdigest() == path.parent.name + path.name
    }


def killed_midway(process, folder, *, at):
    """Kill a transfer once there are so many objects in a folder; give how many there are."""
    until = time.monotonic() + 120
    while len(objects(folder)) < at:
        assert time.monotonic() < until
        assert process.poll() is None, "over before it could be killed"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    return len(objects(folder))


@pytest.fixture
def project(tmp_path):
    project, rng = tmp_path / "project", random.Random(0)
    (project / "data/frames").mkdir(parents=True)
    for number in range(FILES):
        (project / f"data/frames/{number:03d}.npy").write_bytes(rng.randbytes(FILE_BYTES))
    run(project, "git", "init", "--quiet")
    assert dvc(project, "init", "--quiet").wait() == 0
    remote = tmp_path / "remote"
    assert dvc(project, "remote", "add", "--quiet", "--default", "ours", str(remote)).wait() == 0
    assert dvc(project, "add", "--quiet", "data/frames").wait() == 0
    run(project, "git", "add", "--all")
    who = ("-c", "user.name=cvg", "-c", "user.email=cvg@localhost")
    run(project, "git", *who, "commit", "--quiet", "--message", "frames")
    return project


def test_killed_transfers_lose_nothing(project, tmp_path):
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    found = killed_midway(dvc(project, "push", "--jobs", "1"), remote, at=20)
    assert found < FILES
    assert dvc(project, "push").wait() == 0
    assert len(whole(remote)) == len(objects(remote)) == FILES + 1

    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    cache = clone / ".dvc/cache"
    assert killed_midway(dvc(clone, "pull", "--jobs", "1"), cache, at=20) < FILES
    assert dvc(clone, "pull").wait() == 0
    for path in (project / "data/frames").iterdir():
        assert (clone / "data/frames" / path.name).read_bytes() == path.read_bytes()


def test_a_damaged_object_of_a_remote_is_not_taken(project, tmp_path):
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    assert dvc(project, "push").wait() == 0
    spoilt = next(path for path in objects(remote) if path.suffix != ".dir")
    data = bytearray(spoilt.read_bytes())
    data[-1] ^= 1
    spoilt.chmod(0o644)
    spoilt.write_bytes(data)
    run(tmp_path, "git", "clone", "--quiet", str(project), str(clone))
    assert dvc(clone, "remote", "modify", "ours", "verify", "true").wait() == 0
    assert dvc(clone, "pull").wait() != 0
    # A push takes what is there for whole, and what a list is there of: both must go first.
    for path in (spoilt, *(path for path in objects(remote) if path.suffix == ".dir")):
        path.unlink()
    assert dvc(project, "push").wait() == 0
    assert dvc(clone, "pull").wait() == 0
