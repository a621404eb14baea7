"""A few places in memory that the model of `small_models` reads, for tests of embeddings."""

from dataclasses import dataclass, replace

import numpy as np
from small_models import SENSORS

from omnifuse.data.place import Place, Series
from omnifuse.modalities import Modality
from omnifuse.randomness import numpy_generator

SIZE = 160.0
FIRST_DAY = 17_800


@dataclass(frozen=True)
class FewPlaces:
    """Places of noise (a `PlaceSource`): every third lacks s2, every seventh has no image at all, the last says not where it lies."""

    number: int = 20

    @property
    def modalities(self) -> dict[str, Modality]:
        return SENSORS.modalities | {"s1_desc": replace(SENSORS.modalities["s1_asc"], name="s1_desc")}

    classes = None
    size = SIZE

    @property
    def provenance(self) -> dict[str, str]:
        return {"source": "noise", "licence": "CC0-1.0"}

    @property
    def info(self) -> list[dict[str, str | int | float]]:
        where = [{"crs": "EPSG:32631", "left": 600_000.0 + 320 * i, "top": 5_000_000.0} for i in range(self.number - 1)]
        return [{"id": f"p{i:03d}", "fold": i % 2, **spot} for i, spot in enumerate([*where, {}])]

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Place:
        draw, series = numpy_generator(0, "few", index), {}
        for name, modality in self.modalities.items():
            if index % 7 == 6 or (name == "s2" and index % 3 == 2):
                continue
            side, dates = modality.pixels(SIZE), 1 + index % 3 if modality.series else 1
            mean, std = (np.array(values, np.float32)[:, None, None] for values in (modality.mean, modality.std))
            noise = draw.standard_normal((dates, len(modality.bands), side, side), np.float32)
            day = FIRST_DAY + index + 10 * np.arange(dates) if modality.series else np.array([index])  # single images have no date
            series[name] = Series(mean + std / 4 * noise, day)
        return Place(series, SIZE, None, dict(self.info[index]))


def vectors_of(predictor, source, sensors):
    """Embed every place alone: what a table must hold."""
    found = {}
    for index in range(len(source)):
        place = source[index].only(sensors)
        if any(len(series.day) for series in place.series.values()):
            found[str(place.info["id"])] = predictor.features(place.to_batch())[0][0].numpy()
    return found
