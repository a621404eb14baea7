"""Contrast across sensors: what two sensors see of the same ground is pulled together, of other ground pushed apart."""

import math
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features
from omnifuse.losses import info_nce, unit
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import cells, resize
from omnifuse.models.model import Encoders, EncodersConfig
from omnifuse.nn.norms import PixelNorm
from omnifuse.nn.symmetry import turn, turn_back
from omnifuse.objectives.base import LossOutput, Objective
from omnifuse.randomness import key


class Temperature(nn.Module):
    """A learned temperature that cannot fall below a minimum (the logit scale of arXiv:2103.00020, capped)."""

    def __init__(self, start: float, minimum: float) -> None:
        super().__init__()
        if not 0 < minimum <= start:
            raise ConfigError(f"temperature: minimum ({minimum}) must be positive and at most the start ({start}).")
        self.log_scale = nn.Parameter(torch.tensor(-math.log(start)))
        self.most = -math.log(minimum)

    def forward(self) -> Float[Tensor, ""]:
        return (-self.log_scale.clamp(max=self.most)).exp()


class Projection(nn.Module):
    """Features of one sensor to embeddings per ground cell and per place, L2-normalised; thrown away after pretraining.

    Every map of the pyramid takes part, brought to the common cells, so that the contrast trains the fine maps too.
    """

    def __init__(self, encoder: Encoder, hidden: int, dim: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Sequential(PixelNorm(width), nn.Conv2d(width, hidden, 1)) for width in encoder.dims)
        self.shared = nn.Sequential(PixelNorm(hidden), nn.GELU(), nn.Conv2d(hidden, hidden, 1), nn.GELU())
        self.cell = nn.Conv2d(hidden, dim, 1)
        self.place = nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, features: Features, side: int) -> tuple[Float[Tensor, "p cells d"], Float[Tensor, "p d"]]:
        mixed = torch.stack([resize(project(x), side) for project, x in zip(self.maps, features.maps, strict=True)]).sum(0)
        cells = self.shared(mixed)  # the mean over cells follows the non-linearity: a place is what it is made of
        return unit(self.cell(cells).flatten(2).mT), unit(self.place(cells.mean((2, 3))))


def symmetries(draw: Int[Tensor, " b"], names: list[str]) -> dict[str, Int[Tensor, " b"]]:
    """Choose one of the eight symmetries for each sensor of each place: a function of the place's draw and the sensor alone."""
    return {name: torch.tensor([key(int(number), "symmetry/" + name) % 8 for number in draw.tolist()], dtype=torch.long) for name in names}


def sampled_cells(draw: Int[Tensor, " b"], total: int, most: int) -> Int[Tensor, "b most"]:
    """Choose `most` of `total` cells for each place, the same for all sensors: a function of the place's draw alone."""
    generators = [torch.Generator().manual_seed(int(number)) for number in draw.tolist()]
    return torch.stack([torch.randperm(total, generator=generator)[:most].sort().values for generator in generators])


@dataclass(frozen=True, kw_only=True)
class ContrastConfig(Config):
    """InfoNCE between all pairs of sensors, at place and at ground-cell level.

    Attributes:
        dim: Width of the embeddings.
        hidden: Width inside the projections.
        cell_gsd: Metres per ground cell that is compared.
        num_cells: Cells drawn per place and step.
        radius: Cells of the same place nearer than this, in metres, are no negatives of each other.
        cell_weight: Share of the cell level in the loss; the rest is the place level.
        temperature: At the start; learned.
        minimum_temperature: The temperature cannot fall below.
    """

    dim: int = 128
    hidden: int = 256
    cell_gsd: float = 40.0
    num_cells: int = 64
    radius: float = 0.0
    cell_weight: float = 0.8
    temperature: float = 0.1
    minimum_temperature: float = 0.02

    def build(self, sensors: EncodersConfig) -> "Contrast":
        return Contrast(sensors, self)


class Contrast(Objective):
    """Cross-modal InfoNCE (arXiv:1807.03748) over all pairs of sensors; a pair counts the places where both are present."""

    def __init__(self, sensors: EncodersConfig, config: ContrastConfig) -> None:
        super().__init__()
        if len(sensors.encoders) < 2:
            raise ConfigError(f"contrast: needs two sensors or more, found {list(sensors.encoders)}.")
        self.config = config
        self.encoders = Encoders(sensors)
        self.projections = nn.ModuleDict({k: Projection(v, config.hidden, config.dim) for k, v in self.encoders.items().items()})
        self.cell_temperature = Temperature(config.temperature, config.minimum_temperature)
        self.place_temperature = Temperature(config.temperature, config.minimum_temperature)

    def embed(self, batch: Batch) -> dict[str, tuple[Float[Tensor, "p cells d"], Float[Tensor, "p d"]]]:
        """Return the cell and place embeddings of each sensor, for the places that have it."""
        return self.project(self.encoders(batch), batch.size)

    def project(self, features: dict[str, Features], size: float) -> dict[str, tuple[Float[Tensor, "p cells d"], Float[Tensor, "p d"]]]:
        """Return the cell and place embeddings of each sensor from its features."""
        side = cells(size, self.config.cell_gsd)
        return {name: self.projections[name](seen, side) for name, seen in features.items()}

    def encode_turned(self, batch: Batch) -> dict[str, Features]:
        """Encode each sensor of each place under a symmetry of its own, and turn the maps back.

        Else a cell is told by where it lies: padding shows the border to an encoder, the border gives the position, and two
        sensors that agree on positions solve the contrast without looking at the ground.
        """
        features, turned = {}, {}
        symmetry = {name: which.to(batch.place.device) for name, which in symmetries(batch.draw, list(batch.frames)).items()}
        for name, seen in batch.frames.items():
            turned[name] = replace(seen, pixels=turn(seen.pixels, symmetry[name][seen.place]))
        for name, seen in self.encoders(replace(batch, frames=turned)).items():
            which = symmetry[name][seen.place] if name in symmetry else seen.place  # no rows where it was never given
            features[name] = replace(seen, maps=tuple(turn_back(x, which) for x in seen.maps))
        return features

    def forward(self, batch: Batch) -> LossOutput:
        embedded = self.project(self.encode_turned(batch) if self.training else self.encoders(batch), batch.size)
        side = cells(batch.size, self.config.cell_gsd)
        chosen = sampled_cells(batch.draw, side * side, self.config.num_cells)
        zero = torch.zeros(batch.num_places, dtype=torch.bool)
        present = {name: batch.frames[name].present if name in batch.frames else zero for name in embedded}
        losses, weights, metrics = [], [], {}
        for a, b in combinations(embedded, 2):
            both = present[a] & present[b]
            (cell_a, place_a), (cell_b, place_b) = (pick(embedded[name], present[name], both, chosen) for name in (a, b))
            ignored = self.near(chosen[both], side, batch.size).to(cell_a.device) if self.config.radius else None
            cell_loss = info_nce(cell_a, cell_b, self.cell_temperature(), ignored)
            place_loss = info_nce(place_a, place_b, self.place_temperature())
            losses.append(self.config.cell_weight * cell_loss + (1 - self.config.cell_weight) * place_loss)
            weights.append(float(both.sum() > 1))  # a single place has no other ground to be told from
            if both.sum() > 1:
                metrics[f"loss_cell/{a}-{b}"], metrics[f"loss_place/{a}-{b}"] = cell_loss.detach(), place_loss.detach()
                metrics[f"top1_cell/{a}-{b}"] = top1(cell_a, cell_b)
        weight = torch.tensor(weights, device=losses[0].device)
        metrics["temperature_cell"] = self.cell_temperature().detach()
        metrics["temperature_place"] = self.place_temperature().detach()
        return LossOutput((torch.stack(losses) * weight).sum() / weight.sum().clamp(min=1), metrics)

    def near(self, chosen: Int[Tensor, "p most"], side: int, size: float) -> Tensor:
        """Mark pairs of different cells of the same place that lie nearer than the radius."""
        num_places, most = chosen.shape
        metres = torch.stack([chosen // side, chosen % side], -1) * (size / side)
        close = (torch.cdist(metres.float(), metres.float()) < self.config.radius) & ~torch.eye(most, dtype=torch.bool)
        same = torch.eye(num_places, dtype=torch.bool)[:, None, :, None]
        return (close[:, :, None] & same).reshape(num_places * most, num_places * most)


def pick(
    embedded: tuple[Tensor, Tensor], present: Tensor, both: Tensor, chosen: Int[Tensor, "b most"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "p d"]]:
    """Return the chosen cells (flat) and the place embeddings of the places in `both`, from rows of the places in `present`."""
    cell, place = embedded
    row = (present.cumsum(0) - 1)[both].to(cell.device)
    return cell[row[:, None], chosen[both].to(cell.device)].flatten(0, 1), place[row]


def top1(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Share of rows of `a` whose nearest row of `b` is their own."""
    with torch.no_grad():
        return ((a @ b.T).argmax(1) == torch.arange(len(a), device=a.device)).float().mean()
