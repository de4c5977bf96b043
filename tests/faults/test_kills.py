"""A stage that is killed, however often and whenever, ends with the bytes of one that was not."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ci]

KILLS = int(os.environ.get("CVG_KILLS", "5"))  # of each stage; `make faults` asks for more


def test_kills_at_random_moments_change_no_byte(
    each_stage, whole, zygote, account, left_over, tmp_path
):
    stage = whole.stages[each_stage]
    expected = whole.outputs(whole.folder, each_stage)
    work = whole.copy(tmp_path / "work", without=each_stage)
    begin = time.monotonic()
    zygote.run(stage.words, work)
    seconds = time.monotonic() - begin
    assert whole.outputs(work, each_stage) == expected

    rng, kills, differ = random.Random(each_stage), 0, 0
    while kills < KILLS:
        pid = zygote.start(stage.words, work)
        time.sleep(rng.uniform(0, seconds))
        with suppress(ProcessLookupError):  # It may be over.
            os.kill(pid, signal.SIGKILL)
        status = zygote.wait()
        kills += status == -signal.SIGKILL
        assert status in (0, -signal.SIGKILL), zygote.log.read_text()[-3000:]
        if status == 0:
            differ += whole.outputs(work, each_stage) != expected
    zygote.run(stage.words, work)
    differ += whole.outputs(work, each_stage) != expected
    account.add(f"SIGKILL in {each_stage}", tried=kills, survived=kills if not differ else 0)
    assert differ == 0
    assert left_over(work) == []
