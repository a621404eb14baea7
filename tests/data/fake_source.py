"""A small source in plain numpy: ragged dates, missing sensors, context, several resolutions and types."""

import numpy as np

from omnifuse.classes import ClassTable
from omnifuse.data.place import Place, Series
from omnifuse.modalities import Modality


def _modality(name: str, bands: int, gsd: float, **fields) -> Modality:
    names = tuple(f"B{i}" for i in range(bands))
    return Modality(name=name, title=name, bands=names, gsd=gsd, units=("1",) * bands, mean=(0.0,) * bands, std=(1.0,) * bands, **fields)


MODALITIES = {
    modality.name: modality
    for modality in (
        _modality("optical", 3, 10.0),
        _modality("radar", 2, 10.0, context=20.0),
        _modality("fine", 1, 2.5, series=False),
        _modality("weather", 4, 9000.0, per_place=True),
    )
}
DTYPES = {"optical": np.uint16, "radar": np.float16, "fine": np.uint8, "weather": np.float32}


class FakeSource:
    """`num_places` places of 80 m; place i lacks `radar` where i % 3 == 1, `fine` where i % 4 == 2, `optical` where i % 5 == 4."""

    def __init__(self, num_places: int = 7, dtypes: dict = DTYPES) -> None:
        self.dtypes = dtypes
        self.modalities = MODALITIES
        self.classes = ClassTable(("field", "wood"), ("#ffff00", "#00ff00"), ignore=255)
        self.size = 80.0
        self.provenance = {"licence": "CC0"}
        self.info = [
            {"id": f"place-{i}", "fold": i % 3 + 1, "longitude": 5.5 + i / 7, "region": "éa"[i % 2]} | ({"note": 1} if i == 2 else {})
            for i in range(num_places)
        ]

    def __len__(self) -> int:
        return len(self.info)

    def __getitem__(self, index: int) -> Place:
        rng = np.random.default_rng(index)
        count = {
            "optical": 0 if index % 5 == 4 else 1 + index % 4,
            "radar": 0 if index % 3 == 1 else 2,
            "fine": 0 if index % 4 == 2 else 1,
            "weather": 3,
        }
        series = {}
        for name, modality in self.modalities.items():
            side = modality.pixels(self.size)
            pixels = rng.uniform(0, 250, (count[name], len(modality.bands), side, side)).astype(self.dtypes[name])
            series[name] = Series(pixels, np.sort(rng.integers(17000, 18000, count[name])).astype(np.int32))
        return Place(series, self.size, rng.integers(0, 2, (8, 8)).astype(np.uint8), self.info[index])
