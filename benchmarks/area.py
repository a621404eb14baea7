"""Memory and time of mapping an area, from 1 to 400 km²: memory should stay flat, time should grow with the area.

    OMP_NUM_THREADS=1 python benchmarks/area.py                    # sizes one after another, each in a process of its own
    OMP_NUM_THREADS=1 python benchmarks/area.py --borders tiny-landscape   # tiles against the whole image

The input is a GeoTIFF per sensor and date, ground of 2 × 2 km repeated over the area (0.4 GB of disk for 400 km²); the model
is small, so that reading, blending and writing are seen beside it. Seconds are CPU seconds of the process, so that neighbors on the machine
count less; memory is the peak of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio
import torch
from rasterio.shutil import copy

import omnifuse
from omnifuse.classes import ClassTable
from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.place import Place, Series
from omnifuse.inference.area import AreaOptions, predict_area
from omnifuse.inference.area_model import coarsest
from omnifuse.inference.blend import blended
from omnifuse.inference.plan import Tiling, Unit
from omnifuse.inference.scene import Grid
from omnifuse.inference.scene_rasters import RasterScene, open_scene
from omnifuse.modalities import MODALITIES, Modality
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.randomness import numpy_generator
from omnifuse.zoo import save_model

SIDE = 200  # cells of the raster that is repeated
DATES = ("2019-04-01", "2019-05-01", "2019-06-01")
SENSORS = ("s2", "s1_asc")


def write_model(folder: Path) -> None:
    """Save a small random model of 8 classes."""
    torch.manual_seed(0)
    sensors = EncodersConfig(
        modalities={name: MODALITIES[name] for name in SENSORS},
        encoders={name: UTAEConfig(widths=(8, 16), heads=2, dim=16) for name in SENSORS},
    )
    fusion = CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1)
    labels = ClassTable(tuple(f"class {i}" for i in range(8)), tuple(f"#{30 * i:02x}60a0" for i in range(8)))
    save_model(folder, FusionModel(ModelConfig(sensors=sensors, fusion=fusion, head=SegmentationConfig(dims=(8,)), labels=labels)), {})


def write_mosaics(folder: Path, km: int) -> dict[str, list[str]]:
    """Write a raster of `km` × `km` kilometres per sensor and date; returns their paths."""
    paths: dict[str, list[str]] = {}
    for name in SENSORS:
        modality = MODALITIES[name]
        for number, day in enumerate(DATES):
            part = folder / f"{name}_{day}.tif"
            if not part.exists():
                _write_part(part, name, number)
            mosaic = folder / f"{name}_{day}_{km}.vrt"
            mosaic.write_text(_vrt(part, km * 100, len(modality.bands)), encoding="utf-8")
            whole = mosaic.with_suffix(".tif")  # a mosaic of many parts is parsed anew at every read, which is not what is measured
            if not whole.exists():
                copy(mosaic, whole, driver="GTiff", tiled=True, blockxsize=256, blockysize=256)
            paths.setdefault(name, []).append(str(whole))
    return paths


def _write_part(part: Path, name: str, number: int) -> None:
    modality, noise = MODALITIES[name], numpy_generator(0, name, number)
    mean, std = (np.array(values)[:, None, None] for values in (modality.mean, modality.std))
    values = (mean + std / 3 * noise.standard_normal((len(modality.bands), SIDE, SIDE))).clip(min=1 if name == "s2" else None)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": len(values), "crs": "EPSG:32631", "compress": "deflate"}
    profile |= {"transform": rasterio.Affine(10, 0, 600_000, 0, -10, 5_000_000), "tiled": True, "blockxsize": 256, "blockysize": 256}
    profile |= {"dtype": "uint16", "nodata": 0} if name == "s2" else {"dtype": "float32", "nodata": float("nan")}
    with rasterio.open(part, "w", **profile) as file:
        file.write(values.astype(profile["dtype"]))


def _vrt(part: Path, cells: int, bands: int) -> str:
    with rasterio.open(part) as file:
        dtype, nodata, wkt = {"uint16": "UInt16", "float32": "Float32"}[file.dtypes[0]], file.nodata, file.crs.to_wkt()
    sources = [
        f'<SimpleSource><SourceFilename relativeToVRT="1">{part.name}</SourceFilename><SourceBand>BAND</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="{min(SIDE, cells - x)}" ySize="{min(SIDE, cells - y)}"/>'
        f'<DstRect xOff="{x}" yOff="{y}" xSize="{min(SIDE, cells - x)}" ySize="{min(SIDE, cells - y)}"/></SimpleSource>'
        for y in range(0, cells, SIDE)
        for x in range(0, cells, SIDE)
    ]
    rows = [
        f'<VRTRasterBand dataType="{dtype}" band="{band}"><NoDataValue>{nodata}</NoDataValue>'
        f"{''.join(sources).replace('BAND', str(band))}</VRTRasterBand>"
        for band in range(1, bands + 1)
    ]
    head = f'<VRTDataset rasterXSize="{cells}" rasterYSize="{cells}"><SRS>{wkt}</SRS>'
    return f"{head}<GeoTransform>600000, 10, 0, 5000000, 0, -10</GeoTransform>{''.join(rows)}</VRTDataset>"


def opened(folder: Path, km: int) -> RasterScene:
    """Return a scene of the mosaics."""
    bands = {name: list(MODALITIES[name].bands) for name in SENSORS}
    units = {"s2": "reflectance*10000", "s1_asc": "dB"}
    days = {name: list(DATES) for name in SENSORS}
    known = {name: MODALITIES[name] for name in SENSORS}
    return open_scene(known, write_mosaics(folder, km), gsd=10.0, days=days, bands=bands, units=units)


def one(folder: Path, km: int, executor: str) -> dict[str, float]:
    """Map `km` × `km` kilometres in this process and return what it took."""
    scene = opened(folder, km)
    omnifuse.load(folder / "model")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, began = time.perf_counter(), time.process_time()
    predict_area(folder / "model", scene, folder / f"{km}.tif", AreaOptions(), confidence=True, executor=executor, overwrite=True)
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"km2": km**2, "seconds": seconds, "wall": wall, "peak": peak / 1024, "more": (peak - before) / 1024}


@dataclass(frozen=True)
class OnePlace:
    """A place as a scene (`Scene`): squares of it are read as places of their own."""

    place: Place
    modalities: dict[str, Modality]
    cells: int
    fingerprint: str = ""

    @property
    def grid(self) -> Grid:
        return Grid("EPSG:32631", 0.0, 0.0, self.place.size / self.cells, self.cells, self.cells)

    def valid(self, row: int, col: int, height: int, width: int) -> np.ndarray:
        return np.ones((height, width), bool)

    def read(self, row: int, col: int, cells: int) -> Place | None:
        series = {}
        for name, one in self.place.series.items():
            pixels = round(self.grid.gsd / self.modalities[name].gsd)
            rows, cols = (slice(start * pixels, (start + cells) * pixels) for start in (row, col))
            series[name] = Series(np.ascontiguousarray(one.pixels[:, :, rows, cols]), one.day)
        return Place(series, cells * self.grid.gsd)


def borders(name: str, cells: int, seed: int) -> None:
    """Compare tiles of several sizes with the whole image at once, away from its borders, for a model of the landscape."""
    model = omnifuse.load(name)
    source = Landscape(LandscapeConfig(places=1, size=cells, seed=seed))
    known = {sensor: source.modalities[sensor] for sensor in model.modalities if not source.modalities[sensor].per_place}
    series = {name: Series(one.pixels[::5], one.day[::5]) for name, one in source[0].only(tuple(known)).series.items()}  # a fifth: in time
    scene = OnePlace(Place(series, source.size), known, cells)
    unit, align = Unit(0, 0, cells, cells), coarsest(model.config.architecture, 10.0)

    def values(places: Sequence[Place]) -> np.ndarray:
        return np.concatenate([model.probability(place.to_batch()).numpy() for place in places])

    def predicted(tiling: Tiling) -> np.ndarray:
        found = blended(scene, values, unit, tiling)
        assert found is not None
        return found[0]

    whole = predicted(Tiling(cells, 0, align))
    second, first = np.sort(whole, 0)[-2:]
    print(f"{', '.join(known)}; {cells} × {cells} cells; the first class leads the second by {(first - second).mean():.3f} on average")
    for tile in (cells // 8, cells // 4, cells // 2):
        for halo in (0, tile // 8, tile // 4):
            tiles = predicted(Tiling(tile, halo, align))
            inner = slice(16, -16)
            apart = np.abs(tiles - whole)[:, inner, inner]
            changed = (tiles.argmax(0) != whole.argmax(0))[inner, inner]
            row = f"mean {apart.mean():.4f}, 99th percentile {np.quantile(apart, 0.99):.3f}, largest {apart.max():.3f}"
            print(f"tile {tile}, halo {halo}: probabilities apart by {row}; labels changed {changed.mean():.2%}", flush=True)


def main() -> None:
    """Print a row per size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--km", type=int, nargs="*", default=[1, 2, 5, 10, 20], help="sides of the areas in km")
    parser.add_argument("--executor", default="local")
    parser.add_argument("--borders", default="", help="a model of the landscape")
    parser.add_argument("--cells", type=int, default=128, help="of --borders: side of the whole image")
    parser.add_argument("--folder", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(one(Path(options.folder), options.km[0], options.executor)))
        return
    if options.borders:
        borders(options.borders, options.cells, seed=11)
        return
    with TemporaryDirectory() as temporary:
        write_model(Path(temporary) / "model")
        print("   km²   CPU s  s/km²  wall s  peak MB  above start MB")
        for km in options.km:
            command = [sys.executable, __file__, "--folder", temporary, "--km", str(km), "--executor", options.executor]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            numbers = f"{row['km2']:6.0f} {row['seconds']:7.1f} {row['seconds'] / row['km2']:6.3f} {row['wall']:7.1f}"
            print(f"{numbers} {row['peak']:8.0f} {row['more']:15.0f}", flush=True)


if __name__ == "__main__":
    main()
