"""Maps and embeddings from whatever sensors are at hand, with one set of weights."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from omnifuse.classes import ClassTable, Labels, Quantities
from omnifuse.data.export import Ground
from omnifuse.errors import InputError
from omnifuse.frames import Batch
from omnifuse.inference.building import Model
from omnifuse.inference.folder import ModelFolder, origins
from omnifuse.inference.inputs import check_batch, device_of, season_shifted, seasons
from omnifuse.inference.one_place import place_of_inputs
from omnifuse.inference.predictions import Embedding, Measurement, PlacePrediction, Prediction
from omnifuse.modalities import Modality
from omnifuse.models.fusion import cells
from omnifuse.nn.segments import segment_mean
from omnifuse.objectives.contrast import Contrast


class Predictor:
    """A trained model for any non-empty subset of its sensors; see `omnifuse.load`.

    Attributes:
        model: In evaluation mode.
        config: Everything that its folder says of it.
        modalities: What it reads, with bands, units and metres per pixel.
        labels: What it predicts, classes or quantities; None for pretrained encoders, which only embed.
        classes: The classes that it predicts; None where it predicts none.
    """

    def __init__(self, model: Model, config: ModelFolder) -> None:
        self.model = model
        self.config = config
        found = config.architecture
        self.modalities: dict[str, Modality] = found.sensors.modalities
        self.labels: Labels | None = found.labels
        self.classes: ClassTable | None = found.labels if isinstance(found.labels, ClassTable) else None
        self._origins = origins(found.sensors)

    def predict(
        self,
        inputs: Mapping[str, Any] | Batch,
        days: Mapping[str, Any] | None = None,
        *,
        bands: Mapping[str, Any] | None = None,
        units: Mapping[str, Any] | None = None,
        offset: Mapping[str, Any] | None = None,
        nodata: Mapping[str, Any] | None = None,
        season_start: date | str | None = None,
    ) -> Prediction | PlacePrediction | Measurement:
        """Map one place; of a model of places say its class or classes, of a model of quantities their values.

        Args:
            inputs: By sensor, any non-empty subset: xarray, tensors or arrays of (date, band, y, x), or (band, y, x) for a single
                image; or paths of GeoTIFFs and Zarr stores: a path, a list of them, or a pattern such as `s2/*.tif`. Files show the
                largest square of ground that all of them cover. Or a batch of one place.
            days: Dates by sensor, where arrays, file names and tags do not tell. Images without any are taken as evenly spread over
                the model's season, with a warning.
            bands: Names of the bands by sensor in the order of the input, such as `["B02", "B03", ...]`, where it does not tell.
            units: Unit of the stored numbers by sensor, where it is not the model's: `reflectance`, `reflectance*10000`, `dB`,
                `linear`, `K`, ...; or one per band. Attributes of xarray and of GeoTIFFs are heeded.
            offset: Added to the stored numbers by sensor: -1000, or `baseline 04.00`, for Sentinel-2 of that baseline.
            nodata: Stored number by sensor that means no data, where it is not declared. Such pixels take the nearest one; images
                that have a band without any data are left out.
            season_start: The day of your season that corresponds to the model's origin; all dates are shifted by whole days.

        Raises:
            InputError: names the sensor, file, band, unit or date that is not as the model knows it.
        """
        batch, ground = self._one_place(inputs, season_start, days=days, bands=bands, units=units, offset=offset, nodata=nodata)
        values = self.values(batch, season_start=season_start)[0].cpu().numpy()
        if isinstance(self.labels, Quantities):
            return Measurement(values, self.labels, ground if values.ndim > 1 else None)
        assert self.labels is not None  # `values` has said so
        if values.ndim == 1:
            return PlacePrediction(values, self.labels)
        return Prediction(values.argmax(0), values, self.labels, ground)

    def embed(
        self,
        inputs: Mapping[str, Any] | Batch,
        days: Mapping[str, Any] | None = None,
        *,
        bands: Mapping[str, Any] | None = None,
        units: Mapping[str, Any] | None = None,
        offset: Mapping[str, Any] | None = None,
        nodata: Mapping[str, Any] | None = None,
        season_start: date | str | None = None,
        normalize: bool = False,
    ) -> Embedding:
        """Embed one place and its ground cells; arguments as of `predict`, and `normalize` for vectors of length 1."""
        batch, ground = self._one_place(inputs, season_start, days=days, bands=bands, units=units, offset=offset, nodata=nodata)
        place, maps = self.features(batch, season_start=season_start)
        if normalize:
            place, maps = functional.normalize(place), functional.normalize(maps)
        return Embedding(place[0].cpu().numpy(), maps[0].cpu().numpy(), ground)

    def probability(self, batch: Batch, *, season_start: date | str | None = None) -> Float[Tensor, "b k ..."]:
        """Return the probability of each class over many places, or of each place; zero for the label that counts for nothing."""
        if self.classes is None and self.labels is not None:
            raise InputError("probability: this model predicts quantities, no classes. Try: predict, or values(batch).")
        return self.values(batch, season_start=season_start)

    @torch.inference_mode()
    def values(self, batch: Batch, *, season_start: date | str | None = None) -> Float[Tensor, "b k ..."]:
        """Return probabilities of classes, or quantities in their units: of each cell (b, k, h, w), or of each place (b, k)."""
        if self.labels is None or isinstance(self.model, Contrast):
            raise InputError("predict: these weights were pretrained without labels. Try: embed, or fine-tune them first.")
        out = _finite(self.model(self._prepared(batch, season_start)).float())
        if isinstance(self.labels, Quantities):
            return out
        if not self.labels.exclusive:
            return out.sigmoid()
        if 0 <= self.labels.ignore < out.shape[1]:
            out[:, self.labels.ignore] = -torch.inf
        return out.softmax(1)

    @torch.inference_mode()
    def features(self, batch: Batch, *, season_start: date | str | None = None) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d h w"]]:
        """Return embeddings of many places and of their ground cells.

        Fused features at the coarse scale; of pretrained encoders the mean of the present sensors' projections.
        """
        batch = self._prepared(batch, season_start)
        if not isinstance(self.model, Contrast):
            fused = self.model.fuse(batch)
            maps = segment_mean(fused.maps[0].float(), fused.place, fused.num_places)  # a late fusion has a row per sensor
            return _finite(maps.mean((2, 3))), _finite(maps)
        side, num = cells(batch.size, self.model.config.cell_gsd), batch.num_places
        place = torch.zeros(num, self.model.config.dim, device=batch.place.device)
        cell = place.new_zeros(num, side * side, self.model.config.dim)
        for name, (cell_rows, place_rows) in self.model.embed(batch).items():
            if name in batch.frames:
                present = batch.frames[name].present.to(place.device)
                cell[present] += cell_rows
                place[present] += place_rows
        sensors = batch.present.sum(0).to(place.device)
        return _finite(place / sensors[:, None]), rearrange(_finite(cell / sensors[:, None, None]), "b (h w) d -> b d h w", h=side)

    def _one_place(
        self, inputs: Mapping[str, Any] | Batch, season_start: date | str | None, **said: Mapping[str, Any] | None
    ) -> tuple[Batch, Ground | None]:
        if not isinstance(inputs, Batch):
            known = seasons(self.config.architecture.sensors, season_start)
            place, ground = place_of_inputs(inputs, self.modalities, known, **said)
            return place.to_batch(), ground
        stated = [argument for argument, value in said.items() if value is not None]
        if inputs.num_places != 1 or stated:
            raise InputError(
                f"input: a batch of {inputs.num_places} places{' and ' + ', '.join(stated) + ' besides' if stated else ''}, expected one "
                "place with its dates, in the model's units. Try: probability(batch) or features(batch) for many."
            )
        return inputs, None

    def _prepared(self, batch: Batch, season_start: date | str | None) -> Batch:
        check_batch(batch, self.modalities)
        return season_shifted(batch, self._origins, season_start).to(device_of(self.model))


def _finite(values: Tensor) -> Tensor:
    if not values.isfinite().all():
        raise InputError("input: the model gave a value that is not finite. Try: check the units of what it was given.")
    return values
