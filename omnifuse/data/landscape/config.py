"""What a landscape is asked to be."""

from dataclasses import dataclass
from typing import Literal

from omnifuse.config import Config
from omnifuse.data.landscape.regions import REGIONS
from omnifuse.errors import ConfigError
from omnifuse.modalities import check_names

SENSORS = ("s2", "s1_asc", "spot", "dem", "climate")
PRIORS = ("landcover",)  # rendered where asked for; a place is then a whole number of its cells of 80 m


@dataclass(frozen=True, kw_only=True)
class LandscapeConfig(Config):
    """A procedural farmland; the same configuration gives the same bytes everywhere.

    Attributes:
        places: Number of places.
        size: Side of a place in pixels of 10 m.
        seed: Everything random is a function of it, the place and the kind of draw.
        sensors: Which sensors are rendered, of `SENSORS` and `PRIORS`; a place without any of them still has its labels.
        clouds: Factor on the cloud fraction of every region; 0 is an always clear sky, 1 about 40 % of pixels and dates.
        difficulty: Factor on what differs from parcel to parcel of one crop: calendar, canopy color, backscatter.
        looks: Equivalent number of looks of the radar: fewer is more speckle.
        hr: Pixels of the high-resolution image along 10 m, 1 to 16; 8 is 1.25 m.
        regions: Numbers or names of the regions that places are spread over in turn.
        target: What labels say: the class of each pixel, or quantities of its plants (`quantities.QUANTITIES`).
    """

    places: int = 240
    size: int = 128
    seed: int = 0
    sensors: tuple[str, ...] = SENSORS
    clouds: float = 1.0
    difficulty: float = 1.5
    looks: float = 4.0
    hr: int = 8
    regions: tuple[int | str, ...] = (0, 1, 2, 3, 4)
    target: Literal["classes", "quantities"] = "classes"

    def __post_init__(self) -> None:
        check_names(self.sensors, (*SENSORS, *PRIORS), "landscape: `sensors`")
        if set(self.sensors) & set(PRIORS) and self.size % 8:
            raise ConfigError(f"landscape: `size` is {self.size}, land cover has cells of 8 pixels. Try: a multiple of 8.")
        for name, found, low, high in (
            ("places", self.places, 1, 1_000_000),
            ("size", self.size, 4, 1024),
            ("clouds", self.clouds, 0, 4),
            ("difficulty", self.difficulty, 0, 10),
            ("looks", self.looks, 0.5, 100),
            ("hr", self.hr, 1, 16),
        ):
            if not low <= found <= high:
                raise ConfigError(f"landscape: `{name}` is {found}, expected {low} to {high}. Try: a value in this range.")
        names = [region.name for region in REGIONS]
        for region in self.regions:
            if region not in names and region not in range(len(names)):
                raise ConfigError(f"landscape: unknown region {region!r}; known are {', '.join(names)} or 0 to {len(names) - 1}.")
        if not self.regions:
            raise ConfigError("landscape: `regions` is empty. Try: (0, 1, 2, 3, 4).")

    @property
    def region_indices(self) -> tuple[int, ...]:
        """The regions as indices into `REGIONS`."""
        names = [region.name for region in REGIONS]
        return tuple(names.index(region) if isinstance(region, str) else region for region in self.regions)
