"""The temporal critic: a transformer encoder over successive frames, which says real or generated.

    frames --stem--> cells of each frame --+
                        class, condition --+--encoder--> class: real?  pairs of frames: real?

The encoder is that of Vaswani et al. 2017 (arXiv:1706.03762), with norms in front; a class token
carries the verdict as in Devlin et al. 2018 (arXiv:1810.04805). Unusual here: a clip is no more
real than the worst of its pairs, whose verdicts are learned beside its own; each frame comes with
its difference from the frame before, so that small motions need not be found by attention, and with
its distances from all others; and the condition of a clip is told, because what is too fast for one
caption is right for another.

Distances say much about time and little about what is shown, as the matrix of self-similarity does
of Dwibedi et al. 2020 (arXiv:2006.15418). Pictures of a few videos are soon known by heart: for a
share of the clips they are hidden in training, and distances have to do.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import nn

from cvg.conditions.batch import Conditions
from cvg.tensors import Bool, Float, Tensor
from cvg.transformer.embedding import PrefixEmbedding

INITIAL_DEVIATION = 0.02
ALIKE = 0.01  # mean squared distance, of pixels or scaled codes, that tells little


@dataclass(frozen=True, kw_only=True)
class CriticShape:
    """Everything that rebuilds the network."""

    frames: int  # successive frames that it sees at once; 1 sees no time at all
    channels: int  # of a picture: 3 for pixels, the width of all codebook vectors for codes
    size: int  # rows and columns of a picture
    cells: int  # rows and columns of the grid that attention sees; size / cells is a power of 2
    width: int
    layers: int
    heads: int
    dropout: float
    picture_dropout: float  # share of clips, in training, of which only distances are seen
    num_conditions: int = 0  # distinct numbers in a prefix; 0: conditions are not told
    condition_length: int = 0  # numbers in a prefix
    sentence_width: int = 0  # of the vector of a caption; 0: none


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What the critic says; all numbers are log-odds, above 0 means real."""

    clips: Float[Tensor, "b"]
    pairs: Float[Tensor, "b q"]  # of each frame but the first with the frame before it


class Critic(nn.Module):
    """Judges clips of `shape.frames` pictures: pixels in [-1, 1], or codebook vectors."""

    def __init__(self, shape: CriticShape) -> None:
        """Make an untrained critic; its weights come from the global generator.

        Raises:
            ValueError: `size` is not `cells` times a power of 2.
        """
        super().__init__()
        self.shape = shape
        self.stem = make_stem(shape)
        self.distance = nn.Linear(2 * shape.frames - 1, shape.width, bias=False)
        self.place = nn.Parameter(torch.zeros(shape.cells**2, shape.width))
        self.time = nn.Parameter(torch.zeros(shape.frames, shape.width))
        self.verdict = nn.Parameter(torch.zeros(shape.width))
        self.condition = (
            PrefixEmbedding(
                num_conditions=shape.num_conditions,
                length=shape.condition_length,
                sentence_width=shape.sentence_width,
                width=shape.width,
            )
            if shape.num_conditions
            else None
        )
        layer = nn.TransformerEncoderLayer(
            shape.width,
            shape.heads,
            4 * shape.width,
            dropout=shape.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(
            layer, shape.layers, norm=nn.LayerNorm(shape.width), enable_nested_tensor=False
        )
        self.of_clip = nn.Linear(shape.width, 1)
        self.of_pair = nn.Linear(2 * shape.width, 1)
        for parameter in (self.place, self.time, self.verdict):
            nn.init.normal_(parameter, std=INITIAL_DEVIATION)
        # Layers that were copied from one begin alike: drawn anew.
        for matrix in self.matrices:
            nn.init.xavier_uniform_(matrix)
        # Real and generated are equally likely at first.
        for output in (self.of_clip, self.of_pair):
            nn.init.zeros_(output.weight)
            nn.init.zeros_(output.bias)

    def forward(
        self, pictures: Float[Tensor, "b t c h w"], conditions: Conditions | None = None
    ) -> Judgement:
        """Judge clips.

        Args:
            pictures: `shape.frames` successive ones a clip.
            conditions: of each clip; None where the critic is not told of any.
        """
        b, t = pictures.shape[:2]
        before = torch.cat([pictures[:, :1], pictures[:, :-1]], dim=1)
        seen = rearrange([pictures, pictures - before], "two b t c h w -> (b t) (two c) h w")
        cells = rearrange(self.stem(seen), "(b t) d h w -> b t (h w) d", b=b)
        if self.training and self.shape.picture_dropout:
            kept = torch.rand(b, 1, 1, 1, device=cells.device) >= self.shape.picture_dropout
            cells = cells * kept
        cells = cells + self.distance(distances(pictures, self.shape.cells))
        cells = cells + self.place + self.time[:, None]
        features = rearrange(cells, "b t n d -> b (t n) d")
        extra, absent = self._beside(b, conditions)
        padding = None if absent is None else F.pad(absent, (0, features.shape[1]))
        encoded = self.encoder(torch.cat([extra, features], 1), src_key_padding_mask=padding)
        frames = encoded[:, extra.shape[1] :].unflatten(1, (t, -1)).mean(2)
        neighbours = torch.cat([frames[:, :-1], frames[:, 1:]], dim=-1)
        pairs = self.of_pair(neighbours)[..., 0]
        return Judgement(clips=self.of_clip(encoded[:, 0])[:, 0] + least(pairs), pairs=pairs)

    @property
    def matrices(self) -> list[Tensor]:
        """The matrices of the encoder."""
        return [parameter for parameter in self.encoder.parameters() if parameter.ndim == 2]

    def _beside(
        self, count: int, conditions: Conditions | None
    ) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"] | None]:
        """Give the tokens besides those of frames, the verdict first, and which are padding."""
        verdict = self.verdict.expand(count, 1, -1)
        if self.condition is None:
            return verdict, None
        assert conditions is not None
        prefix, present, added = self.condition(conditions)
        return torch.cat([verdict + added[:, None], prefix], dim=1), F.pad(~present, (1, 0))


def least(pairs: Float[Tensor, "b q"]) -> Float[Tensor, "b"]:
    """Give the soft minimum of the verdicts on pairs; 0 where there are none, or where all are 0.

    It is the mean in the limit of small numbers, and near the minimum of large ones.
    """
    count = pairs.shape[1]
    if not count:
        return pairs.new_zeros(len(pairs))
    return math.log(count) - torch.logsumexp(-pairs, dim=1)


def distances(pictures: Float[Tensor, "b t c h w"], cells: int) -> Float[Tensor, "b t n q"]:
    """Measure, cell by cell, how far each frame is from every other.

    Args:
        pictures: of clips.
        cells: rows and columns of the grid.

    Returns:
        For each cell of a frame, the log of its mean squared distance from the frames t - 1 before
        it to t - 1 after it, in units of `ALIKE` and 0 where they are the same; 0 also for frames
        that are not there.
    """
    t, edge = pictures.shape[1], pictures.shape[-1] // cells
    of_frames = []
    for frame in range(t):
        squares = (pictures - pictures[:, frame : frame + 1]).square()
        means = reduce(squares, "b t c (h r) (w s) -> b t (h w)", "mean", r=edge, s=edge)
        # Frame j is in place j - frame, counted from the middle.
        of_frames.append(F.pad(torch.log1p(means / ALIKE), (0, 0, t - 1 - frame, frame)))
    return rearrange(torch.stack(of_frames, 1), "b t q n -> b t n q")


def make_stem(shape: CriticShape) -> nn.Sequential:
    """Make the convolutions from a picture and its change to cells."""
    halvings = (shape.size // shape.cells).bit_length() - 1
    if shape.cells * 2**halvings != shape.size:
        raise ValueError(f"{shape.size} is not {shape.cells} times a power of 2")
    # Convolutions at full resolution are dear: blocks of pixels come as channels.
    unshuffled = max(0, halvings - 2)
    inputs = 2 * shape.channels * 4**unshuffled
    layers: list[nn.Module] = [
        nn.PixelUnshuffle(2**unshuffled),
        nn.Conv2d(inputs, shape.width, 3, padding=1),
    ]
    for _ in range(halvings - unshuffled):
        layers += [nn.GELU(), nn.Conv2d(shape.width, shape.width, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)
