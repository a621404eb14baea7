"""The landscape as a source of places."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from omnifuse.classes import ClassTable, Quantities
from omnifuse.data.landscape import climate, highres, landcover, optical, radar
from omnifuse.data.landscape.config import LandscapeConfig
from omnifuse.data.landscape.covers import CLASSES
from omnifuse.data.landscape.parcels import Parcels, draw_parcels
from omnifuse.data.landscape.phenology import State, grow
from omnifuse.data.landscape.quantities import QUANTITIES, quantities
from omnifuse.data.place import Place, Series
from omnifuse.modalities import MODALITIES, Modality, check_names
from omnifuse.randomness import numpy_generator


class Landscape:
    """Procedural farmland, seen by up to five sensors and known from an old land-cover product; places are made when asked for.

    Each kind of draw has its own random stream per (seed, place), so a place or a sensor made alone, in any order and in any
    process has the same bytes. Labels are never drawn into an image: both come from the state of the parcels.
    """

    def __init__(self, config: LandscapeConfig) -> None:
        self.config = config
        self.classes: ClassTable | None = None if config.target == "quantities" else CLASSES
        self.quantities: Quantities | None = QUANTITIES if config.target == "quantities" else None
        self.size = 10.0 * config.size
        self.provenance = {"source": f"synthetic landscape of omnifuse, seed {config.seed}", "licence": "Apache-2.0"}
        self.modalities: dict[str, Modality] = {name: statistics(name, config.hr) for name in config.sensors}

    def __len__(self) -> int:
        return self.config.places

    @cached_property
    def info(self) -> list[dict[str, str | int | float]]:
        """Metadata of every place; costs no rendering."""
        return [self._info(climate.locate(self.config, index)) for index in range(len(self))]

    def parcels(self, index: int) -> Parcels:
        """Return the geometry and land cover of a place."""
        rng = numpy_generator(self.config.seed, "landscape/parcels", index)
        return draw_parcels(rng, climate.locate(self.config, index), self.config.size, self.config.hr)

    def state(self, index: int, parcels: Parcels) -> State:
        """Return the growth of a place's parcels over its 450 days."""
        rng = numpy_generator(self.config.seed, "landscape/phenology", index)
        return grow(rng, parcels.cover, climate.locate(self.config, index), self.config.difficulty)

    def __getitem__(self, index: int) -> Place:
        return self.read(index, self.config.sensors)

    def read(self, index: int, sensors: Sequence[str]) -> Place:
        """Return a place as some sensors saw it (`omnifuse.data.place.Selective`); the others are not rendered."""
        check_names(sensors, self.config.sensors, "landscape")
        if not 0 <= index < len(self):
            raise IndexError(f"landscape: place {index} of {len(self)}.")
        config, site = self.config, climate.locate(self.config, index)

        def stream(kind: str) -> np.random.Generator:
            return numpy_generator(config.seed, f"landscape/{kind}", index)

        parcels = self.parcels(index)
        state = self.state(index, parcels)
        moisture = climate.moisture(stream("weather"), site)
        colors = optical.draw_colors(stream("colors"), len(parcels.cover), site, config.difficulty)

        def s2() -> Series:
            days, fraction = optical.draw_dates(stream("s2/dates"), site, config.clouds)
            return series(optical.render(stream("s2"), parcels, state, colors, moisture, days, fraction, stream("s2/sky")), days)

        def s1_asc() -> Series:
            days = radar.draw_dates(stream("s1/dates"))
            return series(radar.render(stream("s1"), parcels, state, moisture, days, config.difficulty, config.looks), days)

        def spot() -> Series:
            rng = stream("spot")
            days = highres.draw_date(rng)
            return series(highres.render(rng, parcels, state, colors, moisture, days), days)

        def dem() -> Series:
            return series(climate.elevation(stream("dem"), site, config.size), np.zeros(1, dtype=np.int64))

        def monthly() -> Series:
            return series(climate.monthly(site), climate.MONTHS)

        def prior() -> Series:
            return series(landcover.render(stream("landcover"), parcels), np.zeros(1, dtype=np.int64))

        makers = {"s2": s2, "s1_asc": s1_asc, "spot": spot, "dem": dem, "climate": monthly, "landcover": prior}
        return Place(
            series={name: makers[name]() for name in sensors},
            size=self.size,
            target=parcels.target() if self.quantities is None else quantities(parcels, state),
            info=self._info(site),
        )

    def _info(self, site: climate.Site) -> dict[str, str | int | float]:
        return {
            "id": f"{site.index:05d}",
            "region": site.region.name,
            "fold": site.fold,
            "longitude": site.longitude,
            "latitude": site.latitude,
            "climate_cell": f"{site.region.name} {site.cell}",
        }


def series(pixels: np.ndarray, days: np.ndarray) -> Series:
    """Return frames with true dates."""
    return Series(pixels, (days + climate.DAY0).astype(np.int32))


# Mean and standard deviation per band, measured by
#     band_statistics(Landscape(LandscapeConfig(places=240, size=32)), np.arange(240))        of omnifuse.data.statistics
_STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "s2": (
        (2706.0, 2794.0, 2778.0, 3008.0, 3542.0, 3806.0, 3923.0, 4005.0, 3123.0, 2414.0),
        (2816.0, 2644.0, 2606.0, 2488.0, 2222.0, 2141.0, 2117.0, 2055.0, 1391.0, 1198.0),
    ),
    "s1_asc": (
        (-11.94, -19.01, 7.06),
        (3.66, 3.75, 3.29),
    ),
    "spot": (
        (126.0, 133.0, 105.3),
        (41.0, 24.9, 30.2),
    ),
    "dem": ((226.6,), (178.6,)),
    "climate": (
        (11.83, 8.16, 221.65, 738.78),
        (6.20, 0.98, 172.29, 214.94),
    ),
    "landcover": (
        (0.417, 0.145, 0.118, 0.112, 0.070, 0.081, 0.058),
        (0.493, 0.352, 0.322, 0.315, 0.255, 0.272, 0.234),
    ),
}


def statistics(name: str, hr: int) -> Modality:
    """Return the catalogue's modality with the landscape's own statistics and ground sampling distance."""
    modality = MODALITIES[name]
    modality = replace(modality, gsd={"spot": 10 / hr}.get(name, modality.gsd))
    mean, std = _STATISTICS[name]
    return replace(modality, mean=mean, std=std)
