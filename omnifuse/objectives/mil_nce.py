"""Contrast with several positives: all other sensors' view of a cell at once (MIL-NCE as in OmniSat, arXiv:2404.08351)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omnifuse.config import Config
from omnifuse.errors import ConfigError
from omnifuse.frames import Batch, Features
from omnifuse.models.encoder import Encoder
from omnifuse.models.model import EncodersConfig
from omnifuse.nn.exchange import Processes, sizes, total
from omnifuse.nn.negatives import Marks, Negatives
from omnifuse.objectives.base import ComparingFeatures, Embedded, LossOutput
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.objectives.projection import marks_of


@dataclass(frozen=True, kw_only=True)
class MilNCEConfig(Config):
    """MIL-NCE over all sensors at once, with the published temperature, and negatives from all processes.

    Attributes:
        kind: Names this objective among others in a saved configuration.
        dim: Width of the embeddings.
        hidden: Width inside the projections.
        cell_gsd: Metres per ground cell that is compared.
        num_cells: Cells drawn per place and step.
        cell_weight: Share of the cell level in the loss; the rest is the place level. Published: cells alone.
        temperature: Fixed.
        tile: Rows and columns of logits at once.
        ring: Rows travel from process to process in place of all being gathered.
    """

    kind: Literal["mil_nce"] = "mil_nce"
    dim: int = 128
    hidden: int = 256
    cell_gsd: float = 40.0
    num_cells: int = 64
    cell_weight: float = 1.0
    temperature: float = 0.1
    tile: int = 1024
    ring: bool = False

    def __post_init__(self) -> None:
        if self.tile < 1 or self.temperature <= 0:
            raise ConfigError(
                f"mil_nce: `tile` is {self.tile}, expected 1 or more, and `temperature` is {self.temperature}, expected more than 0. "
                "Try: 1024 and 0.1."
            )

    def build(self, sensors: EncodersConfig) -> "MilNCE":
        return MilNCE(sensors, self)


class MilNCE(ComparingFeatures):
    """Each view of a cell against all views by all sensors; its positives are the other sensors' views of the same cell.

    Attributes:
        contrast: Owns the encoders and projections, and is what a finished pretraining hands on; its temperatures are not learned.
    """

    def __init__(self, sensors: EncodersConfig, config: MilNCEConfig) -> None:
        super().__init__()
        self.config = config
        self.contrast = ContrastConfig(
            dim=config.dim,
            hidden=config.hidden,
            cell_gsd=config.cell_gsd,
            num_cells=config.num_cells,
            temperature=config.temperature,
            minimum_temperature=config.temperature,
        ).build(sensors)
        self.contrast.cell_temperature.requires_grad_(False)
        self.contrast.place_temperature.requires_grad_(False)

    def encoders_by_name(self) -> dict[str, Encoder]:
        return self.contrast.encoders_by_name()

    def encode(self, batch: Batch) -> dict[str, Features]:
        return self.contrast.encode(batch)

    def represent_features(self, features: dict[str, Features], batch: Batch) -> Embedded:
        return self.contrast.represent_features(features, batch)

    def compare(self, parts: Sequence[Embedded]) -> LossOutput:
        seen, config = Embedded.cat(parts), self.config
        processes = Processes.joined(config.ring) if self.training else Processes()
        names = [name.removeprefix("present/") for name in seen.marks if name.startswith("present/")]
        present = torch.stack([seen.marks["present/" + name] for name in names])
        several = int((present & (present.sum(0) > 1)).sum())  # views that have a positive
        *held, counted = sizes([*present.sum(1).tolist(), several], processes, seen.marks["place"].device)
        marks = [marks_of(seen, here) for here in present]
        sums, losses = [], [0 * x.sum() for x in seen.vectors.values()]  # whatever is missing, all that was computed is touched
        for level, (prefix, weight) in enumerate((("cell/", config.cell_weight), ("place/", 1 - config.cell_weight))):
            views = [seen.vectors[prefix + name] for name in names]
            views = [x if x.ndim == 3 else x[:, None] for x in views]
            cells_held = [[n * views[0].shape[1] for n in one] for one in held]
            negatives = Negatives(processes, config.tile)
            share = mil_nce_sum(views, present, [m[level] for m in marks], cells_held, config.temperature, negatives)
            share = share / max(sum(counted) * views[0].shape[1], 1)
            sums.append(share.detach())
            losses.append(weight * share * processes.world)
        loss_cell, loss_place = total(torch.stack(sums), processes)
        return LossOutput(torch.stack(losses).sum(), {"loss_cell": loss_cell, "loss_place": loss_place} if sum(counted) else {})


def mil_nce_sum(
    views: Sequence[Float[Tensor, "_p k d"]],
    present: Bool[Tensor, "m b"],
    marks: Sequence[Marks],
    held: Sequence[list[int]],
    temperature: float,
    negatives: Negatives,
) -> Float[Tensor, ""]:
    """Return the sum over views of -log(share of the positives), in nats, where a view has a positive (arXiv:2404.08351).

    A view is compared with all views of all sensors in all processes but those of the same sensor in the same image. The positives
    are in the denominator too. A collective call; the gradient is that of the sum over all processes.

    Args:
        views: L2-normalised embeddings by sensor: cells of the places that have it.
        present: Which sensors (rows) are present at which places; on the CPU.
        marks: By sensor, of its cells (flat): `ground` names the cell, `place` the image.
        held: By sensor, its cells in each process.
        temperature: Divides the cosine similarities.
        negatives: Where negatives come from.
    """
    wide = torch.float64 if views[0].dtype == torch.float64 else torch.float32
    scale = torch.tensor(1 / temperature, dtype=wide, device=views[0].device)
    candidates: list[list[Tensor]] = [[] for _ in views]
    for a, b in combinations_with_replacement(range(len(views)), 2):
        flat_a, flat_b = views[a].flatten(0, 1), views[b].flatten(0, 1)
        if a == b:  # the whole image is excluded, not only the cell
            image = Marks.of(marks[a].place, marks[a].place, marks[a].position)
            candidates[a].append(negatives.sums(flat_a, flat_a, scale, image, image, held[a]).rows)
        else:
            found = negatives.sums(flat_a, flat_b, scale, marks[a], marks[b], held[b])
            candidates[a].append(found.rows)
            candidates[b].append(found.columns)
    several = present & (present.sum(0) > 1)
    with torch.autocast(scale.device.type, enabled=False):
        dense = torch.stack([_at_places(x.to(wide), here) for x, here in zip(views, present, strict=True)])
        match = torch.einsum("mbkd,obkd->mbko", dense, dense) * scale
        partner = (present[:, None] & present[None] & ~torch.eye(len(views), dtype=torch.bool)[:, :, None]).movedim(1, -1)
        match = match.masked_fill(~partner[:, :, None].to(match.device), -torch.inf)
        sensor, row = (index.to(match.device) for index in several.nonzero().T)  # not a mask, which the device would have to count
        positive = match[sensor, row].logsumexp(-1)  # rows without a positive are left out first: no NaN gradient
        everything = []
        for x, lists, here, chosen in zip(views, candidates, present, several, strict=True):
            everything.append(torch.stack(lists, -1).view(*x.shape[:2], len(views))[chosen[here].nonzero()[:, 0].to(x.device)])
        return (torch.cat([torch.cat(everything), positive[..., None]], -1).logsumexp(-1) - positive).sum()


def _at_places(x: Float[Tensor, "p k d"], here: Bool[Tensor, " b"]) -> Float[Tensor, "b k d"]:
    """Put the rows of the places that have a sensor where they belong; zeros elsewhere."""
    return x.new_zeros(len(here), *x.shape[1:]).index_copy(0, here.nonzero()[:, 0].to(x.device), x)
