"""What contrastive objectives share: which cells are compared, and what they are embedded by."""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features
from omnifuse.losses import unit
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import resize
from omnifuse.models.model import Encoders
from omnifuse.nn.negatives import Marks
from omnifuse.nn.norms import PixelNorm
from omnifuse.nn.symmetry import turn, turn_back
from omnifuse.objectives.base import Embedded
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
    chosen = [torch.randperm(total, generator=generator)[:most].sort().values for generator in generators]
    return torch.stack(chosen) if chosen else torch.zeros(0, min(total, most), dtype=torch.long)


def encode_turned(encoders: Encoders, batch: Batch) -> dict[str, Features]:
    """Encode each sensor of each place under a symmetry of its own, and turn the maps back.

    Else a cell is told by where it lies: padding shows the border to an encoder, the border gives the position, and two
    sensors that agree on positions solve the contrast without looking at the ground.
    """
    features, turned = {}, {}
    symmetry = {name: which.to(batch.place.device) for name, which in symmetries(batch.draw, list(batch.frames)).items()}
    for name, seen in batch.frames.items():
        turned[name] = replace(seen, pixels=turn(seen.pixels, symmetry[name][seen.place]))
    for name, seen in encoders(replace(batch, frames=turned)).items():
        which = symmetry[name][seen.place] if name in symmetry else seen.place  # no rows where it was never given
        features[name] = replace(seen, maps=tuple(turn_back(x, which) for x in seen.maps))
    return features


def chosen_cells(embedded: dict[str, tuple[Tensor, Tensor]], batch: Batch, side: int, num_cells: int) -> Embedded:
    """Return the place embeddings and those of the chosen cells, of each sensor, for the places that have it, with what they are of.

    Args:
        embedded: Embeddings of all cells, and of the place, for the places that have the sensor.
        batch: The places.
        side: Cells along one side of a place.
        num_cells: Cells drawn per place.
    """
    chosen = sampled_cells(batch.draw, side * side, num_cells).to(batch.place.device)
    vectors, marks = {}, {}
    for name, (cell, place) in embedded.items():
        present = batch.frames[name].present if name in batch.frames else torch.zeros(batch.num_places, dtype=torch.bool)
        rows = torch.arange(len(cell), device=cell.device)[:, None]
        here = present.nonzero()[:, 0].to(chosen.device)  # a mask would have to be counted on the device, which waits for it
        vectors["cell/" + name], vectors["place/" + name] = cell[rows, chosen[here]], place
        marks["present/" + name] = present  # on the CPU: a shape
    marks["place"] = batch.place.long()
    marks["ground"] = marks["place"][:, None] * 2**32 + chosen  # a cell of a place that came twice is the same ground
    marks["position"] = torch.stack([chosen // side, chosen % side], -1).float() * (batch.size / side)
    return Embedded(vectors, marks)


def rows_of(seen: Embedded, name: str, kept: Bool[Tensor, " b"]) -> tuple[Float[Tensor, "n d"], Float[Tensor, "p d"]]:
    """Return the cells (flat) and places of a sensor that is present at all places in `kept` (on the CPU)."""
    cell, place = seen.vectors["cell/" + name], seen.vectors["place/" + name]
    row = (seen.marks["present/" + name].cumsum(0) - 1)[kept].to(cell.device)
    return cell[row].flatten(0, 1), place[row]


def marks_of(seen: Embedded, kept: Bool[Tensor, " b"]) -> tuple[Marks, Marks]:
    """Return the marks of the cells (flat) and of the places in `kept` (on the CPU)."""
    row = kept.nonzero()[:, 0].to(seen.marks["place"].device)  # not the mask, which the device would have to count
    place, ground, position = (seen.marks[name][row] for name in ("place", "ground", "position"))
    of_cells = Marks.of(ground.flatten(), place.repeat_interleave(ground.shape[1]), position.flatten(0, 1))
    return of_cells, Marks.of(place, place, position.new_zeros(len(place), 2))
