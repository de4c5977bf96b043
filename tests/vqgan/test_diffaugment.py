"""Random changes to what a discriminator sees."""

import pytest
import torch

from cvg.vqgan.diffaugment import cut_out, diffaugment, recolour, translate

SIZE = 16


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def clips():
    """Three clips of two frames."""
    return torch.rand(3, 2, 3, SIZE, SIZE + 8, generator=rng()) * 2 - 1


@pytest.fixture
def frames():
    return torch.rand(64, 3, SIZE, SIZE, generator=rng(1)) * 2 - 1


def alike(count, value):
    return torch.full((count,), value)


def recoloured(clips, *, brightness=0.0, saturation=1.0, contrast=1.0):
    count = len(clips)
    return recolour(
        clips,
        brightness=alike(count, brightness),
        saturation=alike(count, saturation),
        contrast=alike(count, contrast),
    )


def test_neutral_colours_change_nothing(clips):
    assert torch.allclose(recoloured(clips), clips, atol=1e-6)


def test_brightness_is_added(clips):
    assert torch.allclose(recoloured(clips, brightness=0.25), clips + 0.25, atol=1e-6)


def test_without_saturation_a_picture_is_grey_and_as_bright_as_before(clips):
    grey = recoloured(clips, saturation=0.0)
    assert torch.allclose(grey, clips.mean(2, keepdim=True).expand_as(clips), atol=1e-6)


def test_contrast_spreads_values_about_the_mean_of_the_clip(clips):
    result = recoloured(clips, contrast=1.5)
    mean = clips.mean((1, 2, 3, 4))
    assert torch.allclose(result.mean((1, 2, 3, 4)), mean, atol=1e-6)
    spread = result.flatten(1).std(1) / clips.flatten(1).std(1)
    assert torch.allclose(spread, alike(3, 1.5), atol=1e-5)
    # One map for both frames: the step from one to the next grows like all else.
    steps = (result[:, 1] - result[:, 0]) / (clips[:, 1] - clips[:, 0])
    assert torch.allclose(steps, torch.full_like(steps, 1.5), atol=1e-2)


def test_clips_move_each_by_its_own_offset_and_grey_moves_in(clips):
    down, right = torch.tensor([2, -1, 0]), torch.tensor([0, 3, -2])
    result = translate(clips, down=down, right=right)
    _, _, _, h, w = clips.shape
    assert torch.equal(result[0][..., 2:, :], clips[0][..., : h - 2, :])
    assert (result[0][..., :2, :] == 0).all()
    assert torch.equal(result[1][..., : h - 1, 3:], clips[1][..., 1:, : w - 3])
    assert (result[1][..., h - 1, :] == 0).all()
    assert (result[1][..., :3] == 0).all()
    assert torch.equal(result[2][..., : w - 2], clips[2][..., 2:])


def test_a_part_of_half_the_sides_is_cut_out(clips):
    top, left = torch.tensor([0, 4, -4]), torch.tensor([5, 12, 18])
    result = cut_out(clips, top=top, left=left)
    rows, columns = SIZE // 2, (SIZE + 8) // 2
    for before, after, row, column in zip(clips, result, top.tolist(), left.tolist(), strict=True):
        expected = before.clone()
        expected[..., max(row, 0) : row + rows, column : column + columns] = 0
        assert torch.equal(after, expected)


def test_offsets_of_all_sizes_occur_and_none_beyond_an_eighth(frames):
    # Where only one pixel is bright, its place tells the offset, unless it is cut out.
    seen = set()
    point = torch.zeros(256, 3, SIZE, SIZE)
    point[:, :, 8, 8] = 50.0
    result = diffaugment(point, rng=rng(2)).mean(1)
    for picture in result:
        if picture.max() > 5:
            row, column = divmod(picture.argmax().item(), SIZE)
            seen.add((row - 8, column - 8))
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def drawn(monkeypatch, name, count=2000):
    """The changes that `diffaugment` draws for one of its steps."""
    seen = {}

    def spy(clips, **changes):
        seen.update(changes)
        return clips

    monkeypatch.setattr(f"cvg.vqgan.diffaugment.{name}", spy)
    diffaugment(torch.zeros(count, 1, 8, 10), rng=rng())
    return {key: (values.min().item(), values.max().item()) for key, values in seen.items()}


def test_colours_are_drawn_from_the_whole_of_their_published_ranges(monkeypatch):
    ranges = {"brightness": (-0.5, 0.5), "saturation": (0.0, 2.0), "contrast": (0.5, 1.5)}
    seen = drawn(monkeypatch, "recolour")
    assert seen.keys() == ranges.keys()
    for name, (low, high) in ranges.items():
        assert low <= seen[name][0] < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < seen[name][1] <= high


def test_a_cut_has_its_middle_anywhere_in_the_picture(monkeypatch):
    # Sides of 4 in 8 rows, of 5 in 10 columns: at least half of a side is inside.
    assert drawn(monkeypatch, "cut_out") == {"top": (-2, 6), "left": (-2, 7)}


def test_the_same_seed_gives_the_same_change_and_another_seed_another(frames):
    first, second, other = (diffaugment(frames, rng=rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_change_depends_on_the_generator_alone_and_not_on_the_global_one(frames):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = diffaugment(frames, rng=rng())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    assert torch.equal(diffaugment(frames, rng=rng()), first)


def test_frames_that_belong_together_get_the_same_change_and_others_another(frames):
    twins = frames[:8].repeat_interleave(2, dim=0)
    result = diffaugment(twins, rng=rng(), together=2)
    assert torch.equal(result[0::2], result[1::2])
    same = frames[:1].expand(8, -1, -1, -1)
    result = diffaugment(same, rng=rng())
    assert all(not torch.equal(result[0], other) for other in result[1:])


def test_the_gradient_reaches_every_frame_and_is_that_of_the_change(frames):
    few = frames[:4].double().requires_grad_()
    shown = diffaugment(few, rng=rng())
    (gradient,) = torch.autograd.grad(shown.sum(), few)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()
    # The change is an affine map, so a step along any direction is predicted exactly.
    direction = torch.randn(few.shape, generator=rng(5), dtype=torch.float64)
    moved = diffaugment(few.detach() + direction, rng=rng())
    assert (moved.sum() - shown.sum()).item() == pytest.approx((gradient * direction).sum().item())
