"""What is said where Ray is not to be had; that it works is shown by `make scale`."""

import sys

import pytest

from cvg.errors import UserError
from cvg.mapping.cluster import run_with_ray
from cvg.progress import Steps


def test_without_ray_it_is_said_how_to_get_it(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(UserError, match=r"Ray is not installed; expected `pip install 'cvg\[ray\]'"),
        Steps("letters", total=7) as steps,
    ):
        run_with_ray(job, range(7), address=None, steps=steps)
