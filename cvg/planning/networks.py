"""The networks of params.yaml with a batch each, to be traced or timed."""

from dataclasses import dataclass

import torch

from cvg.codes.layout import Layout, layout_of
from cvg.conditions.batch import Conditions
from cvg.conditions.conditioning import Conditioning
from cvg.conditions.vocabulary import Vocabulary
from cvg.config import Level, Params
from cvg.critic.examples import Examples, clip_frames
from cvg.critic.judge import critic_loss, judge
from cvg.critic.model import Critic
from cvg.critic.sight import Sight
from cvg.critic.train import critic_shape
from cvg.planning.trace import Trainable
from cvg.pretrained.lpips import Trunk, untrained_lpips
from cvg.tensors import Float, Tensor
from cvg.training.runtime import Runtime
from cvg.transformer.model import Transformer
from cvg.transformer.train import cross_entropies, transformer_shape
from cvg.vqgan.adversary import Adversary
from cvg.vqgan.comparator import Comparator
from cvg.vqgan.model import Vqgan, VqganShape
from cvg.vqgan.step import VqganStep
from cvg.vqgan.tokenize import code_grids
from cvg.vqgan.train import vqgan_shape


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Makes what the stages train, and batches of `rows` frames or clips for it.

    Networks are built on the device and not moved to it, which fake tensors cannot be. Conditions
    are captions, classes, rates and motion, and all of them are there; no actions, maps
    or goals.

    Attributes:
        params: all of them.
        runtime: device and precision.
        words: distinct words, classes and rates of all videos together.
    """

    params: Params
    runtime: Runtime
    words: int

    def vqgan(self, rows: int) -> Trainable:
        """Give the VQGAN, its comparator, and its discriminator once it acts."""
        params = self.params.vqgan.model_copy(update={"batch_size": rows})
        device = self.runtime.device
        vqgan = self.make_vqgan()
        size = vqgan.shape.size
        step = VqganStep(
            vqgan,
            params,
            comparator=(
                None if params.comparator == "none" else self._make_comparator(params.comparator)
            ),
            adversary=(
                Adversary(params, learning_rate=self.params.lr, seed=0, device=device)
                if params.discriminator.enabled
                else None
            ),
            runtime=self.runtime,
            seed=0,
        )

        def loss() -> Float[Tensor, ""]:
            frames = 2 * torch.rand(rows, 3, size, size, device=device) - 1
            return step(frames, params.discriminator.start_step).loss

        return Trainable(model=vqgan, matrices=lambda: vqgan.matrices, params=params, loss=loss)

    def transformer(self, level: Level, rows: int) -> Trainable:
        """Give the transformer of a level; in parallel order a random half of codes is hidden."""
        own = self.params.transformer.of(level)
        model = self.make_transformer(level)
        places = model.layout.num_places
        conditions = self.conditions(rows)

        def loss() -> Float[Tensor, ""]:
            sequence = self._codes(model.layout, (rows, own.clip_frames, places))
            codes = sequence[..., model.layout.num_given :]
            hidden = None
            if model.shape.order == "parallel":
                hidden = torch.rand(codes.shape, device=codes.device) < 0.5
            with self.runtime.autocast():
                logits = model(sequence, conditions, hidden=hidden)
            return cross_entropies(logits, codes).mean()

        return Trainable(
            model=model,
            matrices=lambda: model.matrices,
            params=own,
            loss=loss,
            layers=model.layer_names,
        )

    def critic(self, rows: int) -> Trainable:
        """Give the critic, and clips as it sees them through the frozen VQGAN."""
        params = self.params.critic
        vqgan = self.make_vqgan().eval().requires_grad_(False)
        sight = Sight(vqgan=vqgan, input=params.input)
        with self.runtime.device:
            model = Critic(critic_shape(params, sight, self.conditioning()))
        conditions = self.conditions(rows) if model.condition is not None else None
        layout = layout_of(vqgan.shape.levels[-1], code_grids(vqgan.shape))
        shape = (rows, clip_frames(params), layout.num_places)

        def loss() -> Float[Tensor, ""]:
            with torch.no_grad():
                codes = layout.from_sequence(self._codes(layout, shape))
                pictures = sight.see(sight.look_up(codes))
            with self.runtime.autocast():
                judged = judge(model, pictures, conditions)
            yes = torch.ones_like(judged.clips[:, 0], dtype=torch.bool)
            examples = Examples(
                pictures=pictures,
                conditions=self.conditions(rows),
                real=yes,
                pairs=yes[:, None].expand(-1, max(0, model.shape.frames - 1)),
            )
            return critic_loss(judged, examples, pair_weight=params.pair_weight).loss

        return Trainable(model=model, matrices=lambda: model.matrices, params=params, loss=loss)

    @property
    def vqgan_shape(self) -> VqganShape:
        """What rebuilds the VQGAN."""
        return vqgan_shape(self.params.vqgan, size=self.params.extract.frame_size)

    def make_vqgan(self) -> Vqgan:
        """Build the VQGAN alone."""
        with self.runtime.device:
            return Vqgan(self.vqgan_shape)

    def make_transformer(self, level: Level) -> Transformer:
        """Build the transformer of a level alone."""
        params = self.params.transformer
        own = transformer_shape(
            params,
            params.of(level),
            self.conditioning(),
            code_dim=self.vqgan_shape.quantizer.code_dim,
        )
        with self.runtime.device:
            return Transformer(own, layout_of(level, code_grids(self.vqgan_shape)))

    def _make_comparator(self, network: Trunk) -> Comparator:
        with self.runtime.device:
            return Comparator(untrained_lpips(network))

    def conditioning(self) -> Conditioning:
        """Give what is assumed to be known of videos."""
        params = self.params.transformer.conditions
        words = () if params.caption_units == "sentences" else tuple(map(str, range(self.words)))
        return Conditioning(
            vocabulary=Vocabulary(
                words=words,
                motion_edges=tuple(map(float, range(1, params.motion_buckets))),
                caption_units=params.caption_units,
                caption_length=params.caption_length,
            )
        )

    def conditions(self, rows: int) -> Conditions:
        """Give the conditions of a batch: every place of the prefix is filled."""
        told, device = self.conditioning(), self.runtime.device
        width = told.sentence_width
        return Conditions(
            prefix=torch.ones(rows, told.vocabulary.length, dtype=torch.int64, device=device),
            sentences=torch.rand(rows, width, device=device) if width else None,
        )

    def _codes(self, layout: Layout, shape: tuple[int, int, int]) -> Tensor:
        """Draw codes that every grid of a layout has."""
        most = min(grid.codebook_size for grid in layout.grids)
        return torch.randint(most, shape, device=self.runtime.device)
