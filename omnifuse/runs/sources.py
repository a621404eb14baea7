"""Where places come from: one small configuration per kind of source. A new data set adds its own here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from omnifuse.config import Config
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.ombria import Ombria
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
    """Flood maps of OMBRIA in its published layout, cut into tiles of `tile` pixels (10 m)."""

    kind: Literal["ombria"] = "ombria"
    path: str
    tile: int = 64

    def open(self) -> PlaceSource:
        return Ombria(Path(self.path), tile=self.tile)


@dataclass(frozen=True, kw_only=True)
class WorldCerealPatchesData(Config):
    """Field patches with every acquisition of Sentinel-1 and 2, cut into tiles of `tile` pixels (10 m)."""

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


DataConfig = Annotated[LandscapeData | StoreData | OmbriaData | WorldCerealPatchesData | WorldCerealPixelsData, Field(discriminator="kind")]
