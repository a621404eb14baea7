"""Maps and embeddings from whatever sensors are at hand, with one set of weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from omnifuse.classes import ClassTable
from omnifuse.data.arrays import place_from_arrays
from omnifuse.data.export import Dataset, Ground, embedding_dataset, ground_of, prediction_dataset
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.inference.folder import ContrastArchitecture, ModelFolder, SegmentationArchitecture, origins
from omnifuse.inference.inputs import check_batch, device_of, season_shifted
from omnifuse.modalities import Modality, check_names
from omnifuse.models.fusion import cells
from omnifuse.models.model import FusionModel
from omnifuse.nn.segments import segment_mean
from omnifuse.objectives.contrast import Contrast


@dataclass(frozen=True)
class Prediction:
    """A map of one place.

    Attributes:
        labels: Class of each cell.
        probability: Of each class; sums to 1.
        classes: Names and colors.
        ground: Where it lies, if the inputs had coordinates.
    """

    labels: Int[np.ndarray, "h w"]
    probability: Float[np.ndarray, "k h w"]
    classes: ClassTable
    ground: Ground | None = None

    def to_xarray(self) -> Dataset:
        """Return both maps with class names, and with coordinates if the inputs had them."""
        return prediction_dataset(self.labels, self.probability, self.classes, self.ground)


@dataclass(frozen=True)
class Embedding:
    """A place as vectors.

    Attributes:
        place: Of the whole place.
        cells: Of every ground cell.
        ground: Where it lies, if the inputs had coordinates.
    """

    place: Float[np.ndarray, " d"]
    cells: Float[np.ndarray, "d h w"]
    ground: Ground | None = None

    def to_xarray(self) -> Dataset:
        """Return both, with coordinates if the inputs had them."""
        return embedding_dataset(self.place, self.cells, self.ground)


class Predictor:
    """A trained model for any non-empty subset of its sensors; see `omnifuse.load`.

    Attributes:
        model: In evaluation mode.
        config: Everything that its folder says of it.
        modalities: What it reads, with bands, units and metres per pixel.
        classes: What it maps; None for pretrained encoders, which only embed.
    """

    def __init__(self, model: FusionModel | Contrast, config: ModelFolder) -> None:
        self.model = model
        self.config = config
        found: SegmentationArchitecture | ContrastArchitecture = config.architecture
        self.modalities: dict[str, Modality] = found.sensors.modalities
        labels = found.model.labels if isinstance(found, SegmentationArchitecture) else None
        self.classes: ClassTable | None = labels if isinstance(labels, ClassTable) else None
        self._origins = origins(found.sensors)

    def predict(
        self, inputs: Mapping[str, Any] | Batch, days: Mapping[str, Any] | None = None, *, season_start: date | str | None = None
    ) -> Prediction:
        """Map one place.

        Args:
            inputs: By sensor, any non-empty subset: DataArrays, tensors or arrays of (date, band, y, x), or (band, y, x) for a
                single image; values as stored. Or a batch of one place.
            days: Dates by sensor, where the arrays do not carry them.
            season_start: The day of your season that corresponds to the model's origin; all dates are shifted by whole days.

        Raises:
            InputError: names the sensor, band, unit or date that is not as the model knows it.
        """
        batch, ground = self._one_place(inputs, days)
        probability = self.probability(batch, season_start=season_start)[0].cpu().numpy()
        assert self.classes is not None  # `probability` has said so
        return Prediction(probability.argmax(0), probability, self.classes, ground)

    def embed(
        self,
        inputs: Mapping[str, Any] | Batch,
        days: Mapping[str, Any] | None = None,
        *,
        season_start: date | str | None = None,
        normalize: bool = False,
    ) -> Embedding:
        """Embed one place and its ground cells; arguments as of `predict`, and `normalize` for vectors of length 1."""
        batch, ground = self._one_place(inputs, days)
        place, maps = self.features(batch, season_start=season_start)
        if normalize:
            place, maps = functional.normalize(place), functional.normalize(maps)
        return Embedding(place[0].cpu().numpy(), maps[0].cpu().numpy(), ground)

    @torch.inference_mode()
    def probability(self, batch: Batch, *, season_start: date | str | None = None) -> Float[Tensor, "b k h w"]:
        """Return the probability of each class over many places; zero for the label that counts for nothing."""
        if self.classes is None or not isinstance(self.model, FusionModel):
            raise InputError("predict: these weights were pretrained without labels. Try: embed, or fine-tune them first.")
        logits = self.model(self._prepared(batch, season_start)).float()
        if not logits.isfinite().all():
            raise InputError("input: the model gave a value that is not finite. Try: check the units of what it was given.")
        if 0 <= self.classes.ignore < logits.shape[1]:
            logits[:, self.classes.ignore] = -torch.inf
        return logits.softmax(1)

    @torch.inference_mode()
    def features(self, batch: Batch, *, season_start: date | str | None = None) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d h w"]]:
        """Return embeddings of many places and of their ground cells.

        Fused features at the coarse scale; of pretrained encoders the mean of the present sensors' projections.
        """
        batch = self._prepared(batch, season_start)
        if isinstance(self.model, FusionModel):
            fused = self.model.fuse(batch)
            maps = segment_mean(fused.maps[0].float(), fused.place, fused.num_places)  # a late fusion has a row per sensor
            return maps.mean((2, 3)), maps
        side, num = cells(batch.size, self.model.config.cell_gsd), batch.num_places
        place = torch.zeros(num, self.model.config.dim, device=batch.place.device)
        cell = place.new_zeros(num, side * side, self.model.config.dim)
        for name, (cell_rows, place_rows) in self.model.embed(batch).items():
            if name in batch.frames:
                present = batch.frames[name].present.to(place.device)
                cell[present] += cell_rows
                place[present] += place_rows
        sensors = batch.present.sum(0).to(place.device)
        return place / sensors[:, None], rearrange(cell / sensors[:, None, None], "b (h w) d -> b d h w", h=side)

    def _one_place(self, inputs: Mapping[str, Any] | Batch, days: Mapping[str, Any] | None) -> tuple[Batch, Ground | None]:
        if isinstance(inputs, Batch):
            if inputs.num_places != 1 or days is not None:
                raise InputError(
                    f"input: a batch of {inputs.num_places} places{'' if days is None else ' and dates besides'}, expected one place "
                    "with its dates. Try: probability(batch) or features(batch) for many."
                )
            return inputs, None
        if not inputs:
            raise InputError(f"input: no sensor at all. Try: give at least one of {', '.join(self.modalities)}.")
        check_names(list(inputs), list(self.modalities), "input")
        dates = {name: _listed(given) for name, given in (days or {}).items()}
        place = place_from_arrays(inputs, dates, self.modalities)
        return place.to_batch(), ground_of(inputs, self.modalities)

    def _prepared(self, batch: Batch, season_start: date | str | None) -> Batch:
        check_batch(batch, self.modalities)
        return season_shifted(batch, self._origins, season_start).to(device_of(self.model))


def _listed(days: Any) -> list[Any]:
    """Return dates in any kind of array as a list of dates, text or days."""
    values = np.asarray(days)
    return list(values) if values.dtype.kind == "M" else values.tolist()
