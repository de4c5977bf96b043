"""One root seed, many independent generators."""

import torch

from cvg.seeding import derive_seed, generator, seed_everything


def test_seeds_are_the_same_on_every_machine():
    assert derive_seed(0, "weights") == 133441691874178746


def test_every_purpose_and_every_root_has_a_seed_of_its_own():
    purposes = [
        ("draw", "top", "a"),
        ("draw", "top", "b"),
        ("draw", "bottom", "a"),
        ("draw", 1),
        (),
    ]
    seeds = {derive_seed(seed, *purpose) for seed in range(20) for purpose in purposes}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_of_one_purpose_agree_and_leave_the_global_one_alone():
    seed_everything(0, "test")
    before = torch.get_rng_state()
    one, two = (torch.rand(5, generator=generator(3, "batch", 7)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)
