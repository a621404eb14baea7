"""Where places come from: one small configuration per kind of source. A new data set adds its own here, and to `OriginalData`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from omnifuse.config import Config
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.place import PlaceSource
from omnifuse.data.sources.algae_blooms import AlgaeBlooms
from omnifuse.data.sources.flair import Flair
from omnifuse.data.sources.flair_hub import FlairHub
from omnifuse.data.sources.ombria import Ombria
from omnifuse.data.sources.pastis import Pastis
from omnifuse.data.sources.rasters import Rasters
from omnifuse.data.sources.treesatai import TreeSatAI
from omnifuse.data.sources.worldcereal_patches import WorldCerealPatches
from omnifuse.data.sources.worldcereal_pixels import WorldCerealPixels
from omnifuse.data.stacked import Stack, Stacked
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
    """A store, on disk or at an address such as `https://` or `s3://`."""

    kind: Literal["store"] = "store"
    path: str

    def open(self) -> PlaceSource:
        return Store(self.path)


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
    """Field points with two seasons of monthly Sentinel-1 and 2, weather and terrain.

    Attributes:
        path: Folder of the points.
        min_points: A crop type is a class from so many points on.
    """

    kind: Literal["worldcereal_pixels"] = "worldcereal_pixels"
    path: str
    min_points: int = 30

    def open(self) -> PlaceSource:
        return WorldCerealPixels(Path(self.path), self.min_points)


@dataclass(frozen=True, kw_only=True)
class AlgaeBloomsData(Config):
    """Points of lakes with a year of monthly Sentinel-1 and 2, weather and terrain; labels are the severity of algal blooms.

    Attributes:
        path: Folder that holds `npy`.
        dated: Whether images carry the month they are of; else they are numbered, and no season is seen.
    """

    kind: Literal["algae_blooms"] = "algae_blooms"
    path: str
    dated: bool = True

    def open(self) -> PlaceSource:
        return AlgaeBlooms(Path(self.path), self.dated)


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


@dataclass(frozen=True, kw_only=True)
class FlairData(Config):
    """FLAIR#1 (one aerial image) or FLAIR#2 (and a year of Sentinel-2) in their published layout.

    Attributes:
        path: Folder of the download.
        protocol: Which label values are classes: flair12, flair13, flair15, flair19, cosia15 or cosia19.
        window: Side of the Sentinel-2 window in pixels of 10 m, even, from 12 to 112.
        keep_clouds: Whether to keep the Sentinel-2 images that the published rule drops for snow and cloud.
        monthly: Whether a series becomes one image per calendar month.
        validation: Validation departments of the hub, or of the list that came with FLAIR#1.
    """

    kind: Literal["flair1", "flair2"] = "flair2"
    path: str
    protocol: str = "flair13"
    window: int = 40
    keep_clouds: bool = False
    monthly: bool = False
    validation: Literal["hub", "flair1"] = "hub"

    def open(self) -> PlaceSource:
        options: dict[str, Any] = {"clouds": None} if self.keep_clouds else {}
        return Flair(
            Path(self.path),
            series=_FLAIR_SERIES[self.kind],
            protocol=self.protocol,
            window=self.window,
            monthly=self.monthly,
            validation=self.validation,
            **options,
        )


_FLAIR_SERIES = {"flair1": False, "flair2": True}


@dataclass(frozen=True, kw_only=True)
class FlairHubData(Config):
    """FLAIR-HUB in its published layout.

    Attributes:
        path: Folder of the download.
        sensors: Which to read, of aerial, aerial_rlt, dem, spot, s2, s1_asc and s1_desc.
        labels: cosia for land cover in 15 classes, cosia19 in all, lpis for crops.
        keep_clouds: Whether to keep the Sentinel-2 images that the published rule drops for snow and cloud.
        monthly: Whether a series becomes one image per calendar month.
    """

    kind: Literal["flair-hub"] = "flair-hub"
    path: str
    sensors: tuple[str, ...] = ("aerial", "dem", "spot", "s2", "s1_asc", "s1_desc")
    labels: str = "cosia"
    keep_clouds: bool = False
    monthly: bool = False

    def open(self) -> PlaceSource:
        options: dict[str, Any] = {"clouds": None} if self.keep_clouds else {}
        return FlairHub(Path(self.path), self.sensors, self.labels, monthly=self.monthly, **options)


@dataclass(frozen=True, kw_only=True)
class TreeSatAIData(Config):
    """TreeSatAI-TS in its published layout: labels are the shares of tree genera in a place.

    Attributes:
        path: Folder of the data set.
        max_cover: Largest share of a tile that snow or cloud may cover in a Sentinel-2 image; 1 keeps every image.
        mono: Whether to read the undated Sentinel images of the first release too, and which.
    """

    kind: Literal["treesatai-ts"] = "treesatai-ts"
    path: str
    max_cover: float = 1.0
    mono: Literal["none", "60m", "200m"] = "none"

    def open(self) -> PlaceSource:
        return TreeSatAI(Path(self.path), self.max_cover, self.mono)


@dataclass(frozen=True, kw_only=True)
class RastersData(Config):
    """Rasters of one's own, listed in a table (`omnifuse.data.sources.rasters`).

    Attributes:
        path: The table, CSV or GeoParquet; paths in it are relative to its folder.
        size: Side of a place in metres; 0 for the largest square that the rasters of every place cover.
        label_gsd: Metres per pixel of the label maps; 0 for those of the first label raster.
        edge: What to do with an image that does not cover its place: an error, or leave it out.
    """

    kind: Literal["rasters"] = "rasters"
    path: str
    size: float = 0.0
    label_gsd: float = 0.0
    edge: Literal["error", "drop"] = "error"

    def open(self) -> PlaceSource:
        return Rasters(Path(self.path), self.size, label_gsd=self.label_gsd, edge=self.edge)


OriginalData = (
    LandscapeData
    | StoreData
    | OmbriaData
    | WorldCerealPatchesData
    | WorldCerealPixelsData
    | AlgaeBloomsData
    | PastisData
    | FlairData
    | FlairHubData
    | TreeSatAIData
    | RastersData
)


@dataclass(frozen=True, kw_only=True)
class StackedData(Config):
    """Places of another source with sensors stacked as further bands of others (`omnifuse.data.stacked`).

    Attributes:
        data: The other source.
        stacks: What is stacked onto what: by default Sentinel-1 onto Sentinel-2, as `s2_s1`.
    """

    kind: Literal["stacked"] = "stacked"
    data: Annotated[OriginalData, Field(discriminator="kind")]
    stacks: tuple[Stack, ...] = (Stack(),)

    def open(self) -> PlaceSource:
        return Stacked(self.data.open(), self.stacks)


DataConfig = Annotated[OriginalData | StackedData, Field(discriminator="kind")]


def kinds() -> dict[str, tuple[type[Any], str]]:
    """Return the kinds of source that lie at a path, as people write them, with their class and the value of its `kind`."""
    return {
        name.replace("_", "-"): (cls, name)
        for cls in get_args(get_args(DataConfig)[0])
        if "path" in {one.name for one in fields(cls)}
        for name in get_args(cls.__dataclass_fields__["kind"].type)
    }
