"""Shares: together they are everything, none has what another has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvg.errors import UserError
from cvg.mapping.share import Share


@given(st.integers(1, 20), st.integers(0, 50))
def test_every_part_is_in_one_share_and_shares_are_of_like_size(count, parts):
    shares = [list(Share(number=i, count=count).of(parts)) for i in range(1, count + 1)]
    assert sorted(part for share in shares for part in share) == list(range(parts))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def test_a_share_is_read():
    assert Share.parse("3/8") == Share(number=3, count=8)


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/0", "-1/8", "a/b", "3/8/1", "", "1.5/2"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(UserError, match="expected i/n with i from 1 to n"):
        Share.parse(text)
