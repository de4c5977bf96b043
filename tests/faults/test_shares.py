"""A stage that is done by shares, and by several processes, ends with the bytes of one run."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.ci]

ROOT = Path(__file__).resolve().parents[2]
SHARES = 3
KILLS = int(os.environ.get("CVG_KILLS", "5"))


@pytest.fixture(scope="module")
def words(whole):
    """The command of `tokenize`, in parts of a frame."""
    return [*whole.stages["tokenize"].words, "--set", "tokenize.batch_size=1"]


@pytest.fixture(scope="module")
def expected(whole, zygote, words, tmp_path_factory):
    """What it writes in one process."""
    work = whole.copy(tmp_path_factory.mktemp("shares") / "work", without="tokenize")
    zygote.run(words, work)
    return whole.outputs(work, "tokenize")


def test_kills_of_shares_in_any_order_change_no_byte(
    whole, zygote, words, expected, account, left_over, tmp_path
):
    work = whole.copy(tmp_path / "work", without="tokenize")
    shares = [[*words, "--shard", f"{number}/{SHARES}"] for number in range(1, SHARES + 1)]
    begin = time.monotonic()
    zygote.run(shares[0], work)
    seconds = time.monotonic() - begin

    rng, kills = random.Random(0), 0
    while kills < KILLS:
        pid = zygote.start(rng.choice(shares), work)
        time.sleep(rng.uniform(0, seconds))
        with suppress(ProcessLookupError):  # It may be over.
            os.kill(pid, signal.SIGKILL)
        kills += zygote.wait() == -signal.SIGKILL
    for share in rng.sample(shares, SHARES):
        zygote.run(share, work)
    found = whole.outputs(work, "tokenize")
    account.add("SIGKILL in shares of tokenize", tried=kills, survived=kills * (found == expected))
    assert found == expected
    # The last share leaves word that the parts were joined.
    assert [name for name in left_over(work) if not name.endswith(".joined")] == []


def test_several_processes_give_the_bytes_of_one(whole, words, expected, left_over, tmp_path):
    work = whole.copy(tmp_path / "work", without="tokenize")
    assert start(words, "--workers", "2", folder=work).wait() == 0
    assert whole.outputs(work, "tokenize") == expected
    assert left_over(work) == []


def test_several_processes_score_samples_as_one_does(whole, left_over, tmp_path):
    work = whole.copy(tmp_path / "work", without="evaluate")
    assert start(whole.stages["evaluate"].words, "--workers", "2", folder=work).wait() == 0
    assert whole.outputs(work, "evaluate") == whole.outputs(whole.folder, "evaluate")
    assert left_over(work) == []


def test_children_end_with_a_parent_that_is_killed(whole, words, expected, left_over, tmp_path):
    work = whole.copy(tmp_path / "work", without="tokenize")
    process = start(words, "--workers", "2", folder=work)
    until = time.monotonic() + 120
    while not parts(work):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.001)
    children = descendants(process.pid)
    assert len(children) >= 2
    process.kill()
    process.wait()
    until = time.monotonic() + 20
    while any(alive(pid) for pid in children):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert start(words, folder=work).wait() == 0
    assert whole.outputs(work, "tokenize") == expected
    assert left_over(work) == []


def start(words, *more, folder):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "CVG_WEIGHTS": "none",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "pipeline", *words, *more]
    return subprocess.Popen(command, cwd=folder, env=environment)


def parts(folder):
    return [*(folder / ".runs/tokenize").glob("*/part-*/part.json")]


def descendants(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *descendants(child)]
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
