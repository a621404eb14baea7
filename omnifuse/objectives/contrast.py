"""Contrast across sensors: what two sensors see of the same ground is pulled together, of other ground pushed apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features
from omnifuse.losses import info_nce_sums
from omnifuse.models.encoder import Encoder
from omnifuse.models.fusion import cells
from omnifuse.models.model import Encoders, EncodersConfig
from omnifuse.nn.exchange import Processes, sizes, total
from omnifuse.nn.negatives import Negatives
from omnifuse.objectives.base import ComparingFeatures, Embedded, LossOutput
from omnifuse.objectives.projection import Projection, Temperature, chosen_cells, encode_turned, marks_of, rows_of


@dataclass(frozen=True, kw_only=True)
class ContrastConfig(Config):
    """InfoNCE between all pairs of sensors, at place and at ground-cell level, with negatives from all processes.

    Attributes:
        kind: Names this objective among others in a saved configuration.
        dim: Width of the embeddings.
        hidden: Width inside the projections.
        cell_gsd: Metres per ground cell that is compared.
        num_cells: Cells drawn per place and step.
        radius: Cells of the same place nearer than this, in metres, are no negatives of each other.
        duplicate_cosine: What agrees with the positive (the same sensor) above this cosine is no negative; 1 is off.
        cell_weight: Share of the cell level in the loss; the rest is the place level.
        temperature: At the start; learned.
        minimum_temperature: The temperature cannot fall below.
        tile: Rows and columns of logits at once: the full matrix up to this size, tiles above. 512 to 1,024 is fastest on a CPU;
            more than 4,096 needs more than 200 MB.
        ring: Rows travel from process to process in place of all being gathered: memory per process does not grow with their
            number. The same result.
    """

    kind: Literal["contrast"] = "contrast"
    dim: int = 128
    hidden: int = 256
    cell_gsd: float = 40.0
    num_cells: int = 64
    radius: float = 0.0
    duplicate_cosine: float = 1.0
    cell_weight: float = 0.8
    temperature: float = 0.1
    minimum_temperature: float = 0.02
    tile: int = 1024
    ring: bool = False

    def __post_init__(self) -> None:
        if self.tile < 1 or not -1 < self.duplicate_cosine <= 1:
            raise ConfigError(
                f"contrast: `tile` is {self.tile}, expected 1 or more, and `duplicate_cosine` is {self.duplicate_cosine}, expected "
                "above -1 and at most 1. Try: 1024 and 1."
            )

    def build(self, sensors: EncodersConfig) -> "Contrast":
        return Contrast(sensors, self)


class Contrast(ComparingFeatures):
    """Cross-modal InfoNCE (arXiv:1807.03748) over all pairs of sensors; a pair counts the places where both are present.

    The loss and its gradient are those of one process with the places of all, however these are divided.
    """

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
        """Encode each sensor of each place under a symmetry of its own, and turn the maps back."""
        return encode_turned(self.encoders, batch)

    def encoders_by_name(self) -> dict[str, Encoder]:
        return self.encoders.items()

    def encode(self, batch: Batch) -> dict[str, Features]:
        features: dict[str, Features] = self.encode_turned(batch) if self.training else self.encoders(batch)
        return features

    def represent_features(self, features: dict[str, Features], batch: Batch) -> Embedded:
        side = cells(batch.size, self.config.cell_gsd)
        return chosen_cells(self.project(features, batch.size), batch, side, self.config.num_cells)

    def compare(self, parts: Sequence[Embedded]) -> LossOutput:
        seen, config = Embedded.cat(parts), self.config
        processes = Processes.joined(config.ring) if self.training else Processes()
        near = Negatives(processes, config.tile, config.radius, config.duplicate_cosine)
        present = {name.removeprefix("present/"): mark for name, mark in seen.marks.items() if name.startswith("present/")}
        temperatures = self.cell_temperature(), self.place_temperature()
        num_cells = seen.marks["ground"].shape[1]

        pairs = {(a, b): present[a] & present[b] for a, b in combinations(present, 2)}
        held = dict(zip(pairs, sizes([int(both.sum()) for both in pairs.values()], processes, temperatures[0].device), strict=True))
        counted = [pair for pair in pairs if sum(held[pair]) > 1]  # a single place has no other ground to be told from
        losses, sums = [], []
        for (a, b), both in pairs.items():  # all pairs, counted or not: every process makes the same calls
            (cell_a, place_a), (cell_b, place_b) = (rows_of(seen, name, both) for name in (a, b))
            cell_marks, place_marks = marks_of(seen, both)
            cell = info_nce_sums(cell_a, cell_b, temperatures[0], cell_marks, near, [n * num_cells for n in held[a, b]])
            place = info_nce_sums(place_a, place_b, temperatures[1], place_marks, replace(near, radius=0.0), held[a, b])
            places = max(sum(held[a, b]), 1)
            mean = config.cell_weight * cell.loss / (places * num_cells) + (1 - config.cell_weight) * place.loss / places
            losses.append(mean * processes.world * ((a, b) in counted))
            values = cell.loss / num_cells, place.loss, cell.hits_a / num_cells, cell.hits_b / num_cells
            sums.append(torch.stack(values).detach() / places)
        means = total(torch.cat(sums), processes).view(-1, 4)
        metrics: dict[str, Tensor] = {}
        for (a, b), row in zip(pairs, means, strict=True):
            if (a, b) in counted:
                names = (f"loss_cell/{a}-{b}", f"loss_place/{a}-{b}", f"top1_cell/{a}-{b}", f"top1_cell/{b}-{a}")
                metrics |= dict(zip(names, row, strict=True))
        metrics |= {"temperature_cell": temperatures[0].detach(), "temperature_place": temperatures[1].detach()}
        return LossOutput(torch.stack(losses).sum() / max(len(counted), 1), metrics)
