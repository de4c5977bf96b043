"""The share of one of several processes that know nothing of each other: a job array."""

import re
from dataclasses import dataclass

from cvg.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Share:
    """Every `count`-th part.

    Attributes:
        number: which of the shares, 1 to `count`.
        count: number of shares.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Share":
        """Read `3/8`.

        Raises:
            UserError: it is no such text.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise UserError(
                f"--shard {text}: expected i/n with i from 1 to n, as in --shard 3/8 for the third "
                "of eight shares"
            )
        return cls(number=int(found[1]), count=int(found[2]))

    def of(self, parts: int) -> range:
        """Give the numbers of its parts.

        >>> [list(Share(number=i, count=3).of(7)) for i in (1, 2, 3)]
        [[0, 3, 6], [1, 4], [2, 5]]
        """
        return range(self.number - 1, parts, self.count)
