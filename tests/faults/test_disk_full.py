"""A stage that finds the disk full says so, leaves nothing, and ends well once there is room."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB; where none may be made, there is nothing to be tried."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("file systems may not be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("free", [0, 24_000], ids=["no byte", "24 kB"])
def test_a_full_disk(each_stage, free, whole, zygote, account, left_over, small_disk):
    stage = whole.stages[each_stage]
    work = whole.copy(small_disk / "work", without=each_stage)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(max(0, shutil.disk_usage(small_disk).free - free)))
    status, said = zygote.attempt(stage.words, work)
    fits = status == 0
    if not fits:
        assert status == 2, said[-2000:]
        assert "can be written" in said or "cannot be written" in said
        assert "Traceback" not in said
        assert not [left for left in left_over(work) if ".partial-" in left]
    ballast.unlink()
    zygote.run(stage.words, work)
    assert whole.outputs(work, each_stage) == whole.outputs(whole.folder, each_stage)
    assert left_over(work) == []
    account.add(f"full disk, {free} bytes left, in {each_stage}", tried=1, survived=1)
