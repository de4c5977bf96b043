"""What the machine does to a stage besides killing it: the clock, and memory that is not there."""

import signal

import pytest

pytestmark = pytest.mark.slow
YEAR = 365 * 24 * 3600
# Libraries in C++ that cannot start a thread end the process; nobody can say a word then.
ENDED_BY_A_LIBRARY = (-signal.SIGABRT, -signal.SIGSEGV)


def test_neither_the_clock_nor_the_time_zone_changes_a_byte(each_stage, whole, zygote, tmp_path):
    stage = whole.stages[each_stage]
    work = whole.copy(tmp_path / "work", without=each_stage)
    zygote.run(stage.words, work, clock=-20 * YEAR, zone="Pacific/Kiritimati")
    assert whole.outputs(work, each_stage) == whole.outputs(whole.folder, each_stage)


@pytest.mark.parametrize("memory_mb", [1, 4, 16, 64])
def test_a_stage_without_memory_ends_well_once_there_is_some(
    each_stage, memory_mb, whole, zygote, account, left_over, tmp_path
):
    stage = whole.stages[each_stage]
    work = whole.copy(tmp_path / "work", without=each_stage)
    status, said = zygote.attempt(stage.words, work, memory_mb=memory_mb)
    assert status in (0, 2, *ENDED_BY_A_LIBRARY), said[-3000:]
    if status != 0:
        assert "Traceback" not in said
        zygote.run(stage.words, work)
    assert whole.outputs(work, each_stage) == whole.outputs(whole.folder, each_stage)
    assert left_over(work) == []
    account.add(f"{memory_mb} MB of memory left, in {each_stage}", tried=1, survived=1)
