"""A part is whole and of its run, or it is made again; whoever makes it, and however often."""

import shutil
import threading
from dataclasses import replace

import pytest

from cvg.errors import UserError
from cvg.files import read_json, write_json
from cvg.locks import if_free
from cvg.mapping.job import make_part

EVERY = range(7)


def make(job, opened, numbers=EVERY):
    for number in job.missing(numbers):
        job.make(opened, number, advance=lambda _: None)


def word(job, opened):
    return "".join((part / "letter.txt").read_text() for part in job.parts(opened))


def test_parts_are_joined_in_their_order_whatever_the_order_they_were_made_in(job):
    opened = job.open()
    make(job, opened, [6, 0, 3])
    assert [number for number in EVERY if job.is_done(number)] == [0, 3, 6]
    make(job, opened, [5, 4, 2, 1])
    assert word(job, opened) == "seven77"


def test_what_is_whole_is_not_made_again(job):
    opened = job.open()
    make(job, opened)
    make(job, opened)
    job.make(opened, 2, advance=lambda _: None)
    assert opened.made == list(EVERY)


@pytest.mark.parametrize("at", EVERY)
def test_an_interruption_costs_one_part_and_leaves_none_that_is_half(job, at):
    opened = job.open()
    opened.fails_at = at
    with pytest.raises(KeyboardInterrupt):
        make(job, opened)
    assert [number for number in EVERY if job.is_done(number)] == list(range(at))
    assert [path.name for path in job.folder.iterdir() if "partial" in path.name] == []
    again = job.open()
    make(job, again)
    assert again.made == list(range(at, 7))
    assert word(job, again) == "seven77"


def flip(part):
    (part / "letter.txt").write_text("X")


def lose(part):
    (part / "letter.txt").unlink()


def lose_record(part):
    (part / "part.json").unlink()


def spoil_record(part):
    (part / "part.json").write_text("[]")


@pytest.mark.parametrize("spoil", [flip, lose, lose_record, spoil_record])
def test_a_damaged_part_is_told_of_and_made_again(job, capsys, spoil):
    opened = job.open()
    make(job, opened)
    spoil(job.part(3))
    again = job.open()
    make(job, again)
    assert again.made == [3]
    assert "part-00003: " in capsys.readouterr().err
    assert word(job, again) == "seven77"


def test_a_part_of_another_run_or_another_number_is_never_joined(job, letters, tmp_path, capsys):
    opened = job.open()
    make(job, opened)
    other = replace(job, work=letters("eleven1"), folder=tmp_path / "other")
    make(other, letters("eleven1").open())
    for number, source in ((1, other.part(1)), (4, job.part(0))):
        shutil.rmtree(job.part(number))
        shutil.copytree(source, job.part(number))
    again = job.open()
    make(job, again)
    assert again.made == [1, 4]
    said = capsys.readouterr().err
    assert "found part 1 of run other, expected part 1 of a1b2; it is made again" in said
    assert "found part 0 of run a1b2, expected part 4 of a1b2; it is made again" in said
    assert word(job, again) == "seven77"


@pytest.mark.parametrize("name", ["data", "code", "threads"])
def test_a_process_that_would_make_other_parts_is_refused(job, name):
    elsewhere = replace(job, traits={**job.traits, name: "another"})
    with pytest.raises(UserError, match=rf"a1b2: .* \({name}: found .*, expected another\)"):
        make_part(elsewhere, 0)
    assert not job.is_done(0)


def test_many_at_once_make_one_whole_of_each(job):
    workers = [job.open() for _ in range(4)]
    threads = [threading.Thread(target=make, args=(job, opened)) for opened in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert word(job, workers[0]) == "seven77"
    assert job.missing(EVERY) == []
    assert len(list(job.folder.iterdir())) == 7
    assert set().union(*(opened.made for opened in workers)) == set(EVERY)


def test_a_record_names_the_run_the_part_and_the_hash_of_each_file(job):
    make(job, job.open())
    record = read_json(job.part(5) / "part.json")
    assert (record["fingerprint"], record["part"]) == ("a1b2", 5)
    assert list(record["sha256"]) == ["letter.txt"]
    write_json(job.part(5) / "part.json", record | {"sha256": {"letter.txt": "0"}})
    assert job.missing(EVERY) == [5]


def test_a_lock_that_another_holds_is_not_waited_for(tmp_path):
    with if_free(tmp_path / "lock") as first, if_free(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with if_free(tmp_path / "lock") as again:
        assert again
    assert list(tmp_path.iterdir()) == []
