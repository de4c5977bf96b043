"""Work that is parted, the folder of its parts, and the record that a part is whole.

A part is a folder of files, made under a temporary name and renamed when its record is in it: it is
whole or not there, whoever makes it, however often, and on whatever machine that sees the folder.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

from cvg.errors import UserError
from cvg.files import read_json, sha256_file, write_json
from cvg.training.messages import warn
from cvg.training.workspace import code_digest

RECORD = "part.json"


@runtime_checkable
class Opened(Protocol):
    """Work whose inputs are open, in the process that makes parts of it."""

    @property
    def inputs(self) -> Mapping[str, str]:
        """Give the hashes of what it reads; `data` is that of the videos or frames."""
        ...

    @property
    def sizes(self) -> Sequence[int]:
        """Give the size of each part, in steps of progress; their number is that of the parts."""
        ...

    def machine(self) -> Mapping[str, Any]:
        """Give what of the machine shapes the parts; where it differs, parts are not joined."""
        ...

    def make(self, number: int, folder: Path, *, advance: Callable[[int], None]) -> None:
        """Write the files of a part, which depend on its number and the inputs alone.

        Args:
            number: of the part, from 0 on.
            folder: existing and empty.
            advance: is told of each step that is done.
        """
        ...


@runtime_checkable
class Work(Protocol):
    """What is to be done: small, and picklable, for it travels to those who do it."""

    def open(self) -> Opened:
        """Open what it reads.

        Raises:
            UserError: something is missing or damaged.
        """
        ...


def traits(opened: Opened) -> dict[str, Any]:
    """Give all besides the settings that shapes a part: inputs, code, machine.

    Parts that were made elsewhere are joined only where these agree.
    """
    return {**opened.inputs, "code": code_digest(), **opened.machine()}


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work, and where its parts go.

    Attributes:
        work: what is to be done.
        folder: of the parts, an absolute path; all who make parts see it. Its name is the
            fingerprint of all that shapes them.
        traits: what one who makes parts must find, as `traits` gives them.
    """

    work: Work
    folder: Path
    traits: Mapping[str, Any]

    def part(self, number: int) -> Path:
        """Give the folder of a part."""
        return self.folder / f"part-{number:05d}"

    def parts(self, opened: Opened) -> Iterator[Path]:
        """Give the folders of all parts, in the order of their numbers."""
        return map(self.part, range(len(opened.sizes)))

    def is_done(self, number: int) -> bool:
        """Say whether a part is there; its content is not looked at."""
        return (self.part(number) / RECORD).is_file()

    def missing(self, numbers: Sequence[int]) -> list[int]:
        """List the parts that are still to be made; those that are damaged are removed."""
        return [number for number in numbers if not self._is_whole(number)]

    def open(self) -> Opened:
        """Open the work in this process.

        Raises:
            UserError: the inputs, the code or the machine are not those of the job.
        """
        opened = self.work.open()
        found = traits(opened)
        differs = [
            f"{name}: found {found.get(name)}, expected {self.traits.get(name)}"
            for name in {**self.traits, **found}
            if found.get(name) != self.traits.get(name)
        ]
        if differs:
            raise UserError(
                f"{self.folder}: this process would make other parts than the one that started the "
                f"work ({'; '.join(differs)}); let all see the same files, code and environment"
            )
        return opened

    def make(self, opened: Opened, number: int, *, advance: Callable[[int], None]) -> None:
        """Make one part, unless another process has made it meanwhile."""
        if self.is_done(number):
            advance(opened.sizes[number])
            return
        # Not by process number: two machines may have the same.
        temporary = self.folder / f".{self.part(number).name}.partial-{uuid4().hex}"
        temporary.mkdir(parents=True)
        try:
            opened.make(number, temporary, advance=advance)
            names = sorted(path.name for path in temporary.iterdir())
            record = {
                "fingerprint": self.folder.name,
                "part": number,
                "sha256": {name: sha256_file(temporary / name) for name in names},
            }
            write_json(temporary / RECORD, record)
            self._publish(temporary, number)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _publish(self, temporary: Path, number: int) -> None:
        try:
            temporary.rename(self.part(number))
        except OSError:
            # A folder that is not empty is not replaced: another process was first.
            if not self.is_done(number):
                raise

    def _is_whole(self, number: int) -> bool:
        part = self.part(number)
        if not part.exists():
            return False
        if reason := self._fault(number):
            warn(f"{part}: {reason}; it is made again")
            shutil.rmtree(part, ignore_errors=True)
            return False
        return True

    def _fault(self, number: int) -> str:
        """Say what keeps a part from being used; nothing if it is whole."""
        part = self.part(number)
        try:
            record = read_json(part / RECORD)
            if (record["fingerprint"], record["part"]) != (self.folder.name, number):
                return (
                    f"found part {record['part']} of run {record['fingerprint']}, expected part "
                    f"{number} of {self.folder.name}"
                )
            damaged = [
                name
                for name, expected in record["sha256"].items()
                if sha256_file(part / name) != expected
            ]
        except (UserError, OSError, KeyError, TypeError, AttributeError):
            return "its record or a file is missing or damaged"
        return f"{', '.join(damaged)} damaged" if damaged else ""


_held: tuple[Job, Opened] | None = None


def make_part(job: Job, number: int) -> int:
    """Make one part in a process that may have made others; give its size.

    What is open stays open for the next part.
    """
    global _held
    if _held is None or _held[0] != job:
        _held = (job, job.open())
    opened = _held[1]
    job.make(opened, number, advance=lambda _: None)
    return opened.sizes[number]
