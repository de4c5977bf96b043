"""What people see of errors: a sentence, and a traceback only where the program is at fault."""

import errno
import signal
import sys

import pytest
from safetensors import SafetensorError

import pipeline.__main__ as module
from cvg.errors import UserError
from cvg.interrupts import Interrupted


@pytest.fixture
def fails(monkeypatch):
    def with_error(error, *words):
        def app(**_):
            raise error

        monkeypatch.setattr(module, "app", app)
        monkeypatch.setattr(sys, "argv", ["cvg", *words])
        module.main()

    return with_error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("params.yaml:3: found x, expected y"), "error: params.yaml:3: found x"),
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            "can be written to a/b: No space",
        ),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "can be written: Disk quota exceeded"),
        (OSError("4096 requested and 0 written"), "can be written: 4096 requested and 0 written"),
        (SafetensorError("I/O error: No space (os error 28)"), "can be written: I/O error: No"),
    ],
)
def test_what_people_can_mend_is_said_in_a_sentence(fails, capsys, error, said):
    with pytest.raises(SystemExit, match="2"):
        fails(error)
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown
    with pytest.raises(type(error)):
        fails(error, "--debug")


def test_a_signal_gives_its_own_status_and_no_traceback(fails, capsys):
    with pytest.raises(SystemExit) as caught:
        fails(Interrupted(signal.SIGTERM))
    assert caught.value.code == 143
    shown = capsys.readouterr().err
    assert shown.startswith("stopped by SIGTERM; nothing that was finished is lost")


def test_what_the_program_does_wrong_keeps_its_traceback(fails):
    with pytest.raises(OSError, match="odd"):
        fails(OSError(errno.EIO, "odd"))
