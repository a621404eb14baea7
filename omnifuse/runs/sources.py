"""Where places come from: one small configuration per kind of source. A new data set adds its own here, and to `DataConfig`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from omnifuse.config import Config
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.ombria import Ombria
from omnifuse.data.sources.pastis import Pastis
from omnifuse.data.sources.worldcereal_patches import WorldCerealPatches
from omnifuse.data.sources.worldcereal_pixels import WorldCerealPixels
from omnifuse.data.store import Store


@dataclass(frozen=True, kw_only=True)
class LandscapeData(Config):
    """The embedded synthetic landscape, made on the fly."""

    kind: Literal["landscape"] = "landscape"
    landscape: LandscapeConfig = field(default_factory=LandscapeConfig)

    def open(self) -> PlaceSource:
        return Landscape(self.landscape)


@dataclass(frozen=True, kw_only=True)
class StoreData(Config):
    """A store on disk."""

    kind: Literal["store"] = "store"
    path: str

    def open(self) -> PlaceSource:
        return Store(Path(self.path))


@dataclass(frozen=True, kw_only=True)
class OmbriaData(Config):
    """Flood maps of OMBRIA in its published layout.

    Attributes:
        path: Folder that holds `OmbriaS1` and `OmbriaS2`.
        tile: Side of a place in pixels of 10 m, a divisor of 256.
    """

    kind: Literal["ombria"] = "ombria"
    path: str
    tile: int = 64

    def open(self) -> PlaceSource:
        return Ombria(Path(self.path), tile=self.tile)


@dataclass(frozen=True, kw_only=True)
class WorldCerealPatchesData(Config):
    """Field patches with every acquisition of Sentinel-1 and 2.

    Attributes:
        path: Folder of the patches.
        tile: Side of a place in pixels of 10 m.
    """

    kind: Literal["worldcereal_patches"] = "worldcereal_patches"
    path: str
    tile: int = 32

    def open(self) -> PlaceSource:
        return WorldCerealPatches(Path(self.path), tile=self.tile)


@dataclass(frozen=True, kw_only=True)
class WorldCerealPixelsData(Config):
    """Field points with two seasons of monthly Sentinel-1 and 2, weather and terrain; a crop type needs `min_points` to be a class."""

    kind: Literal["worldcereal_pixels"] = "worldcereal_pixels"
    path: str
    min_points: int = 30

    def open(self) -> PlaceSource:
        return WorldCerealPixels(Path(self.path), self.min_points)


@dataclass(frozen=True, kw_only=True)
class PastisData(Config):
    """PASTIS, PASTIS-R or PASTIS-HD in their published layout.

    Attributes:
        path: Folder that holds `metadata.geojson`.
        monthly: Whether a series becomes one image per calendar month.
    """

    kind: Literal["pastis", "pastis-r", "pastis-hd"] = "pastis"
    path: str
    monthly: bool = False

    def open(self) -> PlaceSource:
        return Pastis(Path(self.path), _PASTIS_SENSORS[self.kind], monthly=self.monthly)


_PASTIS_SENSORS = {
    "pastis": ("s2",),
    "pastis-r": ("s2", "s1_asc", "s1_desc"),
    "pastis-hd": ("s2", "s1_asc", "s1_desc", "spot"),
}

DataConfig = Annotated[LandscapeData | StoreData | OmbriaData | WorldCerealPatchesData | PastisData, Field(discriminator="kind")]


def kinds() -> dict[str, tuple[type[Any], str]]:
    """Return the kinds of source that lie at a path, as people write them, with their class and the value of its `kind`."""
    return {
        name.replace("_", "-"): (cls, name)
        for cls in get_args(get_args(DataConfig)[0])
        if "path" in {one.name for one in fields(cls)}
        for name in get_args(cls.__dataclass_fields__["kind"].type)
    }
