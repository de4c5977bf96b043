"""A machine without memory or disk is told from a program with an error."""

import os

import numpy as np
import pytest
import torch

from pipeline.shortage import is_disk_full, is_out_of_memory

TOO_MUCH = 1 << 55


@pytest.mark.parametrize(
    "take", [lambda: np.empty(TOO_MUCH, np.uint8), lambda: torch.empty(TOO_MUCH, dtype=torch.uint8)]
)
def test_memory_that_python_or_torch_could_not_have_is_recognized(take):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        take()
    assert is_out_of_memory(caught.value)


def test_other_errors_are_neither():
    for error in (
        RuntimeError("shapes differ"),
        OSError(13, "denied"),
        torch.AcceleratorError("x"),
    ):
        assert not is_out_of_memory(error)
        assert not is_disk_full(error)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))


def test_a_full_disk_is_recognized_by_number_however_it_is_told():
    assert is_disk_full(OSError(28, os.strerror(28)))
    assert is_disk_full(RuntimeError("Error while serializing: I/O error (os error 28)"))
    assert is_disk_full(OSError("4000 requested and 12 written"))
