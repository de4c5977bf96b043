"""The line between a stage and its recorder: a socket of which each sees when the other ends.

Loading MLflow takes longer than many a stage. So where DVC or `cvg run` starts one stage after the
other, the recorder of the first stays, and listens at a door in the folder of the journals until
the next stage knocks, or until the run is over.

On the line, the recorder first says its number, and when all has arrived a sentence in JSON: what
went wrong, or nothing. The stage ends its side when it is over.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from cvg.tracking.store import is_alive, process_name

WITH_LINE = "--line"  # tells a recorder that its standard input is one
SECONDS_TO_ANSWER = 5.0
SECONDS_BETWEEN_LOOKS = 0.2
SECONDS_WITHOUT_WORK = 60.0  # after which a recorder waits no longer
STARTED_BY_A_RUN = ("DVC_STAGE", "CVG_END_WITH_PARENT")  # in the environment of stages


class Line:
    """The end of a stage."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        said: bytes = b"",
        starter: "subprocess.Popen[bytes] | None" = None,
    ) -> None:
        """Take over a connection.

        Args:
            connection: to the recorder.
            said: what the recorder has said already.
            starter: the process that became the recorder by a fork, and ended.
        """
        self._connection, self._said, self._starter = connection, said, starter

    def finish(self, seconds: float) -> str | None:
        """Say that the stage is over, and wait for what the recorder says.

        Args:
            seconds: after which a recorder that says nothing is ended.

        Returns:
            what went wrong, empty where all has arrived; None where the recorder is gone.
        """
        if self._starter:
            self._starter.wait()
        with self._connection as connection, suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(seconds)
            try:
                while more := connection.recv(4096):
                    self._said += more
            except TimeoutError:
                number = self._said.partition(b"\n")[0]
                os.kill(int(number), signal.SIGKILL) if number else None
        answer = self._said.partition(b"\n")[2]
        return json.loads(answer) if answer.endswith(b"\n") else None


def run_of_stages() -> str | None:
    """Name the process that starts this stage and then others; None by hand."""
    return process_name(os.getppid()) if set(STARTED_BY_A_RUN) & set(os.environ) else None


def start_recorder(journal: Path, environment: Mapping[str, str]) -> Line:
    """Start a recorder for a journal.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        starter = subprocess.Popen(
            [sys.executable, "-m", "cvg.tracking.recorder", str(journal), WITH_LINE],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            # It outlives the stage, whose readers wait until nobody can write any more.
            stderr=subprocess.DEVNULL,
            # Ctrl-C, or the end of the process group, must leave it alive to close the run.
            start_new_session=True,
            env=environment,
        )
    return Line(ours, starter=starter)


def find_recorder(journal: Path, run: str | None) -> Line | None:
    """Hand a journal to the recorder that an earlier stage of the run has left, if there is one."""
    if run is None:
        return None
    door = _door(journal.parent, run)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(SECONDS_TO_ANSWER)
        connection.connect(str(door))
        connection.sendall(f"{journal.name}\n".encode())
        if said := connection.recv(4096):
            connection.settimeout(None)
            return Line(connection, said=said)
    except ConnectionRefusedError:  # It was killed.
        door.unlink(missing_ok=True)
    except OSError:
        pass
    connection.close()
    return None


def say(connection: socket.socket, text: str) -> None:
    """Say a line to the stage; where it was killed, to nobody."""
    with suppress(OSError):
        connection.sendall(f"{text}\n".encode())


def next_line(
    folder: Path, run: str, is_usable: Callable[[], bool]
) -> tuple[Path, socket.socket] | None:
    """Wait for the next stage of a run.

    Args:
        folder: of the journals.
        run: the process that starts the stages.
        is_usable: whether this recorder may still be used.

    Returns:
        the journal, and the recorder's end of the line; None where none has come.
    """
    door = _door(folder, run)
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(door))
        except OSError:  # The path is too long, or another recorder waits there.
            return None
        try:
            connection = _accept(server, run)
        finally:
            door.unlink(missing_ok=True)
    if connection is None:
        return None
    connection.settimeout(SECONDS_TO_ANSWER)
    with suppress(OSError), connection.makefile(encoding="utf-8") as file:
        name = file.readline()
        if name.endswith("\n") and is_usable():
            connection.settimeout(None)
            return folder / name.rstrip(), connection
    connection.close()
    return None


def _accept(server: socket.socket, run: str) -> socket.socket | None:
    server.listen()
    server.settimeout(SECONDS_BETWEEN_LOOKS)
    end = time.monotonic() + SECONDS_WITHOUT_WORK
    while is_alive(run) and time.monotonic() < end:
        with suppress(TimeoutError):
            return server.accept()[0]
    return None


def _door(folder: Path, run: str) -> Path:
    return folder / f"{run}.sock"
