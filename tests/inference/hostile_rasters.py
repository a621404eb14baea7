"""Hostile rasters: headers that claim what is absurd, files that are none, and sound ones that do not fit; each by name.

What `omnifuse predict` must refuse in words, at once and in little memory, or map.
"""

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from input_files import write_tif
from rasterio import Affine

BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
DAY = "2018-10-01"

Make = Callable[[Path], object]


def sparse(path: Path, width: int, height: int, gsd: float = 10.0, **profile: Any) -> None:
    """Write a GeoTIFF of ten bands that claims a size and stores nothing."""
    import rasterio

    shape = {"width": width, "height": height, "count": 10, "dtype": "uint16", "crs": "EPSG:32631"}
    transform = Affine(gsd, 0, 600_000, 0, -gsd, 5_000_000)
    stored = {"driver": "GTiff", "sparse_ok": True, "bigtiff": "yes", "tiled": True, "blockxsize": 8192, "blockysize": 8192}
    with rasterio.open(path, "w", **{**shape, "transform": transform, **stored, **profile}) as file:
        file.descriptions = BANDS


def vrt(path: Path, width: int, height: int, source: str = "", gsd: float = 10.0, bands: int = 10, code: str = "") -> None:
    """Write a mosaic of any claimed size; without a source all of it is no data."""
    inner = source and f"<SimpleSource><SourceFilename relativeToVRT='0'>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    function = f"<PixelFunctionType>{code}</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>" if code else ""
    kind = " subClass='VRTDerivedRasterBand'" if code else ""
    rows = "".join(
        f"<VRTRasterBand dataType='UInt16' band='{i + 1}'{kind}><Description>{BANDS[i % 10]}</Description>{inner}{function}</VRTRasterBand>"
        for i in range(bands)
    )
    transform = f"600000, {gsd}, 0, 5000000, 0, -{gsd}"
    path.write_text(
        f"<VRTDataset rasterXSize='{width}' rasterYSize='{height}'><SRS>EPSG:32631</SRS><GeoTransform>{transform}</GeoTransform>"
        f"{rows}</VRTDataset>",
        encoding="utf-8",
    )


def tiff(path: Path, *entries: tuple[int, int, int, int], body: bytes = b"") -> None:
    """Write a TIFF of a single directory by hand: (tag, type, count, value or offset)."""
    rows = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + bytes(4) + body)


def listed(good: Path) -> dict[str, tuple[str, Make]]:
    """Return every case by name: what the file is called, and what writes it; `good` is a GeoTIFF that is mapped."""
    raw, draw = good.read_bytes(), random.Random(0)
    values = np.random.default_rng(0).integers(1, 6000, (10, 16, 16)).astype(np.uint16)
    tif, mosaic = f"s2_{DAY}.tif", f"s2_{DAY}.vrt"
    cases: dict[str, tuple[str, Make]] = {}

    # Sizes that a header claims.
    for width, height, gsd in (
        (10**7, 10**7, 10.0),
        (10**7, 1, 10.0),
        (1, 10**7, 10.0),
        (2**31 - 1, 2**31 - 1, 10.0),
        (2 * 10**6, 2 * 10**6, 10.0),
        (10**7, 10**7, 1e-4),
        (10**7, 10**7, 1e-9),
        (10**5, 10**5, 1e6),
        (16, 16, 1e12),
        (16, 16, 1e300),
        (16, 16, 1e-300),
    ):
        cases[f"mosaic of {width} × {height} pixels of {gsd:g} m"] = mosaic, lambda p, w=width, h=height, g=gsd: vrt(p, w, h, gsd=g)
        cases[f"mosaic of {width} × {height} pixels of {gsd:g} m of a file"] = (
            mosaic,
            lambda p, w=width, h=height, g=gsd: vrt(p, w, h, str(good), gsd=g),
        )
    for width, height, gsd in ((10**7, 10**7, 10.0), (10**7, 10**7, 1e-3), (2**31 - 1, 1, 10.0)):
        block = {"blockxsize": 2**17, "blockysize": 2**17}  # fewer entries in the file, each of 32 GB
        cases[f"GeoTIFF of {width} × {height} pixels of {gsd:g} m"] = (
            tif,
            lambda p, w=width, h=height, g=gsd, b=block: sparse(p, w, h, g, **b),
        )
    cases["one tile of 34 GB"] = tif, lambda p: sparse(p, 400, 400, blockxsize=2**17, blockysize=2**17)
    cases["mosaic of 20,000 bands"] = mosaic, lambda p: vrt(p, 16, 16, bands=20_000)
    for size in ("0", "-1", "1e9", "99999999999", "x", ""):
        cases[f"mosaic {size!r} pixels wide"] = mosaic, lambda p, s=size: vrt(p, s, 16)  # type: ignore[arg-type]
    for transform in ("nan", "inf", "0"):
        cases[f"pixels of {transform} m"] = mosaic, lambda p, t=transform: vrt(p, 16, 16, gsd=t)  # type: ignore[arg-type]

    # Mosaics that lead elsewhere.
    for source in ("/etc/passwd", "/dev/zero", "/dev/stdin", "../../../../etc/passwd", "nowhere.tif", "", "a\tb", "/vsizip/x.zip/x.tif"):
        cases[f"mosaic of {source!r}"] = mosaic, lambda p, s=source: vrt(p, 16, 16, s)
    cases["mosaic of itself"] = mosaic, lambda p: vrt(p, 16, 16, str(p))
    cases["mosaic that runs code"] = mosaic, lambda p: vrt(p, 16, 16, str(good), code="os.system")
    cases["mosaic that is cut off"] = mosaic, lambda p: p.write_text("<VRTDataset rasterXSize='5'", encoding="utf-8")
    cases["mosaic 10,000 deep"] = mosaic, lambda p: p.write_text("<VRTDataset>" + "<a>" * 10_000, encoding="utf-8")
    laughs = "".join(f"<!ENTITY l{i + 1} '{f'&l{i};' * 10}'>" for i in range(9))
    cases["a billion laughs"] = (
        mosaic,
        lambda p: p.write_text(f"<!DOCTYPE x [<!ENTITY l0 'ha'>{laughs}]><VRTDataset>&l9;</VRTDataset>", encoding="utf-8"),
    )

    # Files that are none, or damaged.
    for size in (0, 1, 4, 8, 100, 700, len(raw) // 2, len(raw) - 1):
        cases[f"cut to {size} bytes"] = tif, lambda p, n=size: p.write_bytes(raw[:n])
    directory = 8 * struct.unpack("<I", raw[4:8])[0]  # behind the pixels, of which nobody knows what they should be
    for _ in range(40):
        at, bit = draw.randrange(directory, 8 * len(raw)), bytearray(raw)
        bit[at // 8] ^= 1 << at % 8
        cases[f"bit {at}"] = tif, lambda p, b=bytes(bit): p.write_bytes(b)
    for number in range(10):
        noise = b"II*\0" + draw.randbytes(3000)
        cases[f"noise {number}"] = tif, lambda p, b=noise: p.write_bytes(b)
    cases["a web page"] = tif, lambda p: p.write_text("<!DOCTYPE html><html>404</html>", encoding="utf-8")
    cases["an LFS pointer"] = tif, lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", encoding="utf-8")
    cases["a pipe"] = tif, os.mkfifo
    for target in ("/dev/zero", "/dev/stdin", "/etc/passwd", "nowhere", tif):
        cases[f"a link to {target}"] = tif, lambda p, t=target: p.symlink_to(t)
    cases["a directory of itself"] = tif, lambda p: p.write_bytes(b"II*\0" + struct.pack("<IHI", 8, 0, 8))
    wide = ((256, 4, 1, 2**31 - 1), (257, 4, 1, 2**31 - 1), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 2**28, 200))
    cases["a directory of 2^28 strips"] = (
        tif,
        lambda p: tiff(p, *wide, (277, 3, 1, 10), (278, 4, 1, 1), (279, 4, 2**28, 300), body=bytes(500)),
    )
    cases["65,535 samples"] = tif, lambda p: tiff(p, *wide[:4], (277, 3, 1, 65_535), body=bytes(500))

    # Sound files that do not fit.
    odd: dict[str, Any] = {
        "no reference system": {"crs": None},
        "degrees that are none": {"crs": "EPSG:4326"},
        "the other pole": {"crs": "EPSG:3031", "left": 1e7, "top": 1e7},
        "another zone": {"crs": "EPSG:32601"},
        "nowhere on Earth": {"left": 1e9, "top": 1e9},
        "a place on the Moon": {"crs": "+proj=longlat +R=1737400 +no_defs", "left": 3.0, "top": 45.0, "gsd": 1e-4},
        "feet": {"crs": "EPSG:2263", "left": 980_000.0, "top": 200_000.0},
        "all no data": {"nodata": 7, "values": values * 0 + 7},
        "not a number": {"values": values.astype(np.float32) * np.nan},
        "infinite": {"values": values.astype(np.float32) * np.inf},
        "complex": {"values": values.astype(np.complex64)},
        "too large": {"values": values.astype(np.float64) * 1e300},
        "reflectance": {"values": values / np.float32(1e4)},
        "one pixel": {"values": values[:, :1, :1]},
        "one row": {"values": values[:, :1]},
        "one band": {"values": values[:1], "names": ("B2",)},
        "no names": {"values": values[:7], "names": ()},
        "a band twice": {"names": ("B2",) * 10},
        "pixels of 3.7 m": {"gsd": 3.7},
        "pixels of 0.1 m": {"gsd": 0.1},
        "pixels of 500 m": {"gsd": 500.0, "values": values[:, :2, :2]},
        "a scale of 0": {"scale": 0.0},
        "a scale that is not a number": {"scale": float("nan")},
        "units of furlongs": {"units": ("furlong",) * 10},
        "names of 100,000 letters": {"names": ("x" * 100_000,) * 10},
        "names with line breaks": {"names": ("B2\n\x1b[31m",) * 10},
    }
    for name, changes in odd.items():
        given = {"values": values, "names": BANDS, **changes}
        cases[name] = tif, lambda p, g=given: write_tif(p, g["values"], **{key: value for key, value in g.items() if key != "values"})
    for name in (
        "s2_9999-99-99.tif",
        "s2_0000-00-00.tif",
        "a'b; rm -rf *.tif",
        "{}%s[0].tif",
        "日本.tif",
        "x" * 240 + ".tif",
        "-rf.tif",
        "a\nb.tif",
    ):
        cases[f"a file called {name[:20]!r}"] = name, lambda p: write_tif(p, values, names=BANDS)
    return cases
