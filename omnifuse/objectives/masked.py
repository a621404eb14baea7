"""Masked modelling: from what is visible of a place, predict a frozen random projection of what was hidden.

Targets are random projections of the pixels themselves (as in BEST-RQ, arXiv:2202.01855, and OlmoEarth, arXiv:2511.13655): there is no
teacher, so nothing can collapse. What is hidden leaves the `Batch`, so that no encoder computes anything for it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features, Frames
from omnifuse.losses import unit
from omnifuse.modalities import Modality
from omnifuse.models.encoder import Encoder, Normalize, crop_context
from omnifuse.models.fusion import cells, resize
from omnifuse.models.ltae import encode_day
from omnifuse.models.model import Encoders, EncodersConfig
from omnifuse.nn.exchange import Processes, sizes, total
from omnifuse.nn.norms import PixelNorm
from omnifuse.nn.segments import segment_mean
from omnifuse.objectives.base import Comparing, Embedded, LossOutput
from omnifuse.randomness import torch_generator

DATE_WIDTH = 32  # numbers that tell a hidden frame's date to the predictor
ORIGIN = 17775  # 2018-09-01, as the encoders


@dataclass(frozen=True, kw_only=True)
class MaskedConfig(Config):
    """What is hidden, and what is predicted of it.

    Attributes:
        sensor_ratio: Share of sensors hidden at a place; at least one stays visible.
        date_ratio: Share of dates hidden of a sensor that stays; at least one stays visible.
        most_targets: At most so many hidden dates per sensor and place are predicted.
        cell_gsd: Metres per ground cell that is predicted.
        num_cells: Cells drawn per place and step.
        detail: Each cell is described by detail × detail means of its pixels.
        dim: Width of the random projections.
        hidden: Width inside the predictor.
        seed: Of the random projections: they are the same in every run, whatever its seed.
    """

    sensor_ratio: float = 0.25
    date_ratio: float = 0.5
    most_targets: int = 2
    cell_gsd: float = 20.0
    num_cells: int = 16
    detail: int = 2
    dim: int = 64
    hidden: int = 128
    seed: int = 0

    def build(self, sensors: EncodersConfig) -> "Masked":
        return Masked(sensors, self)

    def __post_init__(self) -> None:
        for name, ratio in (("sensor_ratio", self.sensor_ratio), ("date_ratio", self.date_ratio)):
            if not 0 <= ratio < 1:
                raise ConfigError(f"masked: `{name}` ({ratio}) must be in [0, 1). Try: 0.5.")
        if min(self.most_targets, self.num_cells, self.detail, self.dim, self.hidden) < 1:
            raise ConfigError(f"masked: every size must be positive, found {self}. Try: the defaults.")


def hide(batch: Batch, config: MaskedConfig) -> tuple[Batch, Batch]:
    """Split a batch into what stays visible and what is to be predicted: a function of each place's draw alone."""
    draws = [torch_generator(int(number), "hide") for number in batch.draw.tolist()]
    present = batch.present
    drawn = torch.cat([torch.rand(len(present), 1, generator=g) for g in draws] or [torch.zeros(len(present), 0)], 1)  # no place, no draw
    score = drawn.where(present, torch.tensor(-1.0))
    stays = (score >= config.sensor_ratio) | (score == score.amax(0))
    visible, hidden = {}, {}
    for index, (name, frames) in enumerate(batch.frames.items()):
        dates = [torch.rand(int(count), generator=g) for count, g in zip(frames.count, draws, strict=True)]
        score = torch.cat(dates) if dates else torch.zeros(0)
        place = torch.repeat_interleave(frames.count)
        most = torch.zeros(frames.num_places).scatter_reduce(0, place, score, "amax")
        kept = stays[index][place] & ((score >= config.date_ratio) | (score == most[place]))
        visible[name] = frames.keep(kept)
        hidden[name] = frames.keep(~kept & _first(~kept, place, config.most_targets, score))
    return replace(batch, frames=visible), replace(batch, frames=hidden, target=None)


def _first(marked: Bool[Tensor, " n"], place: Int[Tensor, " n"], most: int, score: Float[Tensor, " n"]) -> Bool[Tensor, " n"]:
    """Mark, of the marked frames of each place, the `most` with the smallest scores."""
    order = (place.double() + score.double().where(marked, score.new_tensor(1.0).double()) / 2).argsort()  # marked ones first
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order))
    start = torch.searchsorted(place, place)  # frames of a place lie together
    return rank - start < most


class RandomProjection(nn.Module):
    """Pixels of one sensor to one vector of length one per ground cell; frozen, and rebuilt from its seed.

    A constant stands beside the standardised values, so that their direction tells how large they are; what is far out (a cloud)
    cannot outweigh the rest.
    """

    weight: Tensor

    def __init__(self, modality: Modality, config: MaskedConfig) -> None:
        super().__init__()
        self.modality, self.detail = modality, config.detail
        self.normalize = Normalize(modality)
        values = len(modality.bands) * config.detail**2 + 1
        generator = torch_generator(config.seed, "projection/" + modality.name)
        self.register_buffer("weight", torch.randn(config.dim, values, generator=generator) / math.sqrt(values), persistent=False)

    @torch.no_grad()
    def forward(self, frames: Frames, side: int) -> Float[Tensor, "n cells d"]:
        values = self.normalize(frames.pixels)
        if not self.modality.per_place:
            values = crop_context(values, 1 - 2 * self.modality.context / (values.shape[-1] * self.modality.gsd))
        fine = resize(values, side * self.detail) if len(values) else values.new_zeros(0, values.shape[1], *[side * self.detail] * 2)
        cell = rearrange(fine, "n c (h y) (w x) -> n (h w) (c y x)", y=self.detail, x=self.detail)
        with torch.autocast(cell.device.type, enabled=False):  # the same targets whatever the precision of the encoders
            return unit(torch.cat([cell, cell.new_ones(*cell.shape[:2], 1)], -1) @ self.weight.T)


class MaskedPrediction(nn.Module):
    """Predicts what is hidden from the maps of what is visible: a context per cell, a query per hidden sensor and date."""

    def __init__(self, encoders: dict[str, Encoder], config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        self.maps = nn.ModuleDict(
            {
                name: nn.ModuleList(nn.Sequential(PixelNorm(width), nn.Conv2d(width, config.hidden, 1)) for width in encoder.dims)
                for name, encoder in encoders.items()
            }
        )
        self.targets = nn.ModuleDict({name: RandomProjection(encoder.modality, config) for name, encoder in encoders.items()})
        self.sensor = nn.ParameterDict({name: nn.Parameter(0.02 * torch.randn(config.hidden)) for name in encoders})
        self.date = nn.Linear(DATE_WIDTH, config.hidden)
        self.predict = nn.Sequential(
            nn.LayerNorm(config.hidden), nn.Linear(config.hidden, 2 * config.hidden), nn.GELU(), nn.Linear(2 * config.hidden, config.hidden)
        )
        self.heads = nn.ModuleDict({name: nn.Linear(config.hidden, config.dim) for name in encoders})

    def context(self, features: dict[str, Features], side: int) -> Float[Tensor, "b cells d"]:
        """Return the mean over the visible sensors of each place, on the common cells."""
        rows, places = [], []
        for name, seen in features.items():
            projections = cast(nn.ModuleList, self.maps[name])
            mixed = [resize(project(x), side) for project, x in zip(projections, seen.maps, strict=True)]
            rows.append(torch.stack(mixed).sum(0))
            places.append(seen.place)
        return segment_mean(torch.cat(rows), torch.cat(places), seen.num_places).flatten(2).mT

    def forward(self, features: dict[str, Features], hidden: Batch) -> tuple[Float[Tensor, " m"], Int[Tensor, " m"]]:
        """Return, per sensor, the sum of 1 − cosine over hidden dates and drawn cells, and how many there were (on the CPU)."""
        side = cells(hidden.size, self.config.cell_gsd)
        chosen = self.cells(hidden, side)
        context = self.context(features, side)
        context = context.gather(1, chosen[..., None].expand(-1, -1, context.shape[-1]))
        sums, counts = [], []
        for name, head in self.heads.items():
            frames = hidden.frames.get(name) or self._none(name, hidden)
            place = frames.place
            date = encode_day(frames.day - ORIGIN, DATE_WIDTH, 1000.0, self.date.weight.dtype)  # a day in bfloat16 is off by up to four
            asked = context.index_select(0, place) + (self.sensor[name] + self.date(date))[:, None]
            target = self.targets[name](frames, side)  # in the dtype of the weights, whatever the autocast state
            predicted = unit(head(asked + self.predict(asked)).to(target.dtype))
            target = target.gather(1, chosen.index_select(0, place)[..., None].expand(-1, -1, target.shape[-1]))
            sums.append((1 - (predicted * target).sum(-1)).sum())
            counts.append(len(place) * chosen.shape[1])
        return torch.stack(sums), torch.tensor(counts)

    def cells(self, batch: Batch, side: int) -> Int[Tensor, "b most"]:
        """Choose cells of each place, the same for all sensors: a function of the place's draw alone."""
        picks = [
            torch.randperm(side * side, generator=torch_generator(int(number), "masked cells"))[: self.config.num_cells]
            for number in batch.draw.tolist()
        ]
        none = torch.zeros(0, min(side * side, self.config.num_cells), dtype=torch.long)
        return (torch.stack(picks) if picks else none).to(batch.place.device)

    def _none(self, name: str, batch: Batch) -> Frames:
        modality = cast(RandomProjection, self.targets[name]).modality
        side = modality.pixels(batch.size)
        return Frames.empty(batch.num_places, (len(modality.bands), side, side), batch.place.device)


def masked_loss(
    sums: Float[Tensor, "parts m"], counts: Int[Tensor, "parts m"], processes: Processes, names: Sequence[str]
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Return the mean over sensors of the mean over what was hidden of each, over all processes, and the means by sensor.

    Zero where nothing was hidden. The loss is this process's part times the number of processes, so that the mean of gradients over
    processes is the gradient of the loss of all.
    """
    everywhere = [sum(held) for held in sizes(counts.sum(0).tolist(), processes, sums.device)]
    share = sums.sum(0) / sums.new_tensor([max(number, 1) for number in everywhere])
    means = total(share.detach(), processes)
    metrics = {f"masked/{name}": mean for name, mean, number in zip(names, means, everywhere, strict=True) if number}
    return processes.world * share.sum() / max(sum(number > 0 for number in everywhere), 1), metrics


class Masked(Comparing):
    """Masked modelling alone: encoders see what is visible, and nothing else is computed.

    It compares no places, but its mean is over what was hidden in all micro-batches of all processes, which differ in that.
    """

    def __init__(self, sensors: EncodersConfig, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        self.encoders = Encoders(sensors)
        self.prediction = MaskedPrediction(self.encoders.items(), config)

    def represent(self, batch: Batch) -> Embedded:
        visible, hidden = hide(batch, self.config)
        sums, counts = self.prediction(self.encoders(visible), hidden)
        return Embedded({"masked": sums[None]}, {"masked": counts[None]})

    def compare(self, parts: Sequence[Embedded]) -> LossOutput:
        seen, processes = Embedded.cat(parts), Processes.joined() if self.training else Processes()
        return LossOutput(*masked_loss(seen.vectors["masked"], seen.marks["masked"], processes, list(self.prediction.heads)))
