import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from cvg.interrupts import Interrupted, deferred, interruptible, pending, raise_pending


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0)  # Python calls its handlers between two instructions.


def interrupted(work):
    """Let `work` be interruptible; give what it is interrupted with."""
    with pytest.raises(Interrupted) as caught, interruptible():
        work()
    return caught.value


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGUSR1, 138)]
)
def test_a_signal_ends_the_work_at_once_and_cleans_up(number, status):
    cleaned = []

    def work():
        try:
            send(number)
            cleaned.append("not reached")
        finally:
            cleaned.append("up")

    assert interrupted(work).exit_status == status
    assert cleaned == ["up"]


def test_a_deferred_signal_waits_until_it_is_asked_for():
    done = []

    def work():
        with deferred():
            assert pending() is None
            send(signal.SIGTERM)
            done.append("step")
            assert pending() is not None
            raise_pending()
            done.append("not reached")

    interrupted(work)
    assert done == ["step"]


def test_a_deferred_signal_that_nobody_asks_for_is_raised_at_the_outer_end():
    done = []

    def work():
        with deferred():
            with deferred():
                send(signal.SIGTERM)
            done.append("inner")
        done.append("not reached")

    interrupted(work)
    assert done == ["inner"]


def test_without_a_signal_nothing_is_raised_and_handlers_are_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with interruptible(), deferred():
        raise_pending()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_of_before_does_not_count():
    interrupted(lambda: send(signal.SIGTERM))
    with interruptible():
        assert pending() is None


def test_in_another_thread_nothing_is_installed():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def run(script, **options):
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, **options
    )


def test_the_second_signal_ends_a_process_that_does_not_listen():
    script = (
        "import time\n"
        "from cvg.interrupts import deferred, interruptible\n"
        "with interruptible(), deferred():\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
    )
    with run(script) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a service of Linux")
def test_an_orphan_is_told_to_end_when_its_parent_is_killed():
    child = (
        "import os, time\n"
        "from cvg.interrupts import Interrupted, end_with_parent, interruptible\n"
        "try:\n"
        "    with interruptible():\n"
        "        end_with_parent()\n"
        "        print(os.getpid(), flush=True)\n"
        "        time.sleep(60)\n"
        "except Interrupted as error:\n"
        "    print(error, flush=True)\n"
    )
    script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    with run(script) as parent:
        assert int(parent.stdout.readline()) != parent.pid
        parent.kill()
        assert parent.stdout.readline() == "SIGTERM\n"
        assert parent.stdout.read() == ""  # The child is gone.
