"""Child processes with limits: what they survive, and that none of them survives the parent."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cvg.errors import UserError
from cvg.videos.location import UnusableError
from cvg.videos.pool import run_in_order
from cvg.videos.skips import SkipCode

LIMITS = {"workers": 2, "seconds": 30, "memory_mb": 512}
HERE = Path(__file__).parent

SCRIPT = """
import sys
sys.path.insert(0, {here!r})
print("the script runs", flush=True)
import pool_tasks
from cvg.videos.pool import run_in_order
for item, result in run_in_order({function}, {items}, workers=2, seconds=30, memory_mb=512):
    print(result, flush=True)
"""


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    return __import__("pool_tasks")


def script(tmp_path, function, items):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(here=str(HERE), function=function, items=items))
    return [sys.executable, str(path)]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_for(condition, seconds=30):
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_items(tasks, workers):
    draw = random.Random(workers)
    items = [(number, draw.choice([0, 0, 0.05])) for number in range(25)]
    limits = LIMITS | {"workers": workers}
    assert list(run_in_order(tasks.nap, items, **limits)) == [(item, item[0]) for item in items]


def test_without_items_there_are_no_results(tasks):
    assert list(run_in_order(tasks.nap, [], **LIMITS)) == []


def test_one_worker_is_a_child_too_and_lives_for_many_items(tasks):
    pids = {pid for _, pid in run_in_order(tasks.pid, range(5), **LIMITS | {"workers": 1})}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_items_are_taken_only_a_little_ahead(tasks):
    taken = []
    items = ((taken.append(number), (number, 0))[1] for number in range(1000))
    results = run_in_order(tasks.nap, items, **LIMITS)
    assert not taken
    for count, _ in enumerate(results, start=1):
        assert len(taken) == 6 + count
        if count == 10:
            break
    results.close()
    assert len(taken) == 16


def test_a_child_that_aborts_is_tried_twice_and_harms_no_other_item(tasks):
    results = dict(run_in_order(tasks.abort_on_odd, range(4), **LIMITS))
    assert [results[0], results[2]] == [0, 2]
    for error in (results[1], results[3]):
        assert error.code == SkipCode.DECODER_CRASH
        assert "SIGABRT" in error.reason


def test_each_try_is_in_a_process_of_its_own(tasks, tmp_path):
    marker = tmp_path / "marker"
    ((_, error),) = run_in_order(tasks.always_crash, [str(marker)], **LIMITS)
    assert error.code == SkipCode.DECODER_CRASH
    assert len(set(marker.read_text().split())) == 2


def test_a_child_that_dies_once_costs_nothing(tasks, tmp_path):
    marker = tmp_path / "marker"
    assert list(run_in_order(tasks.crash_once, [str(marker)], **LIMITS)) == [(str(marker), "done")]
    assert len(marker.read_text().split()) == 2


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_the_signal_that_ended_a_child_is_named(tasks, number):
    ((_, error),) = run_in_order(tasks.end_by, [int(number)], **LIMITS)
    assert error.code == SkipCode.DECODER_CRASH
    assert number.name in error.reason


def test_what_takes_too_long_is_stopped_and_harms_no_other_item(tasks):
    items = [(0, 0), (1, 60), (2, 0), (3, 0)]
    results = [result for _, result in run_in_order(tasks.nap, items, **LIMITS | {"seconds": 0.4})]
    assert [results[0], *results[2:]] == [0, 2, 3]
    assert results[1].code == SkipCode.TIMEOUT
    assert "extract.limits.seconds = 0.4" in results[1].reason


@pytest.mark.parametrize(
    "function",
    ["hang", pytest.param("hang_for_good", marks=[pytest.mark.slow, pytest.mark.ci])],
)
def test_what_hangs_in_c_with_the_interpreter_held_is_stopped(tasks, tmp_path, function):
    items = [(number, str(tmp_path)) for number in range(3)]
    limits = LIMITS | {"seconds": 0.4}
    results = [result for _, result in run_in_order(getattr(tasks, function), items, **limits)]
    assert [result.code for result in results[::2]] == [SkipCode.TIMEOUT] * 2
    if function == "hang":
        assert results[1] == 1
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory")
@pytest.mark.parametrize(
    "function", ["allocate", "allocate_in_pieces", "allocate_and_blame_the_file"]
)
def test_what_needs_too_much_memory_is_out_of_memory(tasks, function):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    results = [result for _, result in run_in_order(getattr(tasks, function), [3000, 10], **LIMITS)]
    assert results[0].code == SkipCode.OUT_OF_MEMORY
    assert "extract.limits.memory_mb = 512" in results[0].reason
    assert not isinstance(results[1], UnusableError)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory")
def test_what_python_and_its_libraries_take_does_not_count(tasks):
    # Again and again in one child: what was freed does not count either.
    results = run_in_order(tasks.allocate, [490] * 5, **LIMITS | {"workers": 1})
    assert [result for _, result in results] == [490_000_000] * 5


def test_an_unusable_item_is_handed_back_as_a_value(tasks):
    ((_, error),) = run_in_order(tasks.fail, ["unusable"], **LIMITS)
    assert (error.code, error.reason) == (SkipCode.CORRUPT, "found nonsense; expected a video")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("user", UserError),
        ("other", KeyError),
        ("exit", RuntimeError),
        ("unpicklable result", Exception),
        ("unpicklable error", RuntimeError),
    ],
)
def test_an_error_of_the_program_is_raised_with_the_traceback_of_the_child(tasks, kind, error):
    with pytest.raises(error) as caught:
        list(run_in_order(tasks.fail, [kind], **LIMITS))
    (note,) = caught.value.__notes__
    assert "in the child process" in note
    assert "pool.py" in note


def test_a_function_of_the_main_script_is_refused(tasks, monkeypatch):
    monkeypatch.setattr(tasks.nap, "__module__", "__main__")
    with pytest.raises(ValueError, match="main script"):
        next(run_in_order(tasks.nap, [(0, 0)], **LIMITS))


def test_children_have_one_thread_and_neither_the_main_script_nor_torch(tasks):
    environment = dict(os.environ)
    ((_, found),) = run_in_order(tasks.surroundings, [None], **LIMITS)
    assert found == {
        "main": None,
        "once more": False,
        "threads": 1,
        "SIGINT": True,
        "numerics": "1",
        "torch": False,
    }
    assert dict(os.environ) == environment


def test_closing_the_iterator_ends_the_children_at_once(tasks, tmp_path):
    items = [(number, str(tmp_path)) for number in (1, 0, 2, 4)]
    results = run_in_order(tasks.hang, items, **LIMITS)
    assert next(results)[1] == 1
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 2
    assert not any(alive(int(path.name)) for path in tmp_path.iterdir())


def test_a_script_without_a_guard_is_run_once(tmp_path):
    words = script(tmp_path, "pool_tasks.nap", "[(n, 0) for n in range(3)]")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n") == ["the script runs", "0", "1", "2", ""]
    assert done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_child_outlives_the_parent(tmp_path, number):
    (tmp_path / "pids").mkdir()
    items = [(n, str(tmp_path / "pids")) for n in (0, 2)]
    process = subprocess.Popen(
        script(tmp_path, "pool_tasks.hang", items),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts its background jobs deaf to Ctrl-C, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pids = tmp_path / "pids"
    wait_for(lambda: len(list(pids.iterdir())) == 2)
    if number == signal.SIGINT:  # as a terminal does it: to the whole group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    wait_for(lambda: not any(alive(int(path.name)) for path in pids.iterdir()), seconds=10)
    _, errors = process.communicate(timeout=10)
    if number == signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1
