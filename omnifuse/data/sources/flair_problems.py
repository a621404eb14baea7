"""What can be wrong with a folder of FLAIR#1 or FLAIR#2, found from headers, tables and labels."""

from collections import Counter
from collections.abc import Callable, Iterator

from omnifuse.data.npy import npy_header
from omnifuse.data.problems import Problem
from omnifuse.data.sources.flair import (
    MASK_DTYPES,
    S2_DTYPES,
    SIDE,
    SIZE,
    area_files,
    check_area,
    read_labels,
    read_products,
    window_slices,
)
from omnifuse.data.sources.flair_classes import Nomenclature, class_ids
from omnifuse.data.sources.flair_layout import Layout, Patch
from omnifuse.data.sources.flair_rasters import check_image, read_header
from omnifuse.data.sources.flair_series import product_days
from omnifuse.errors import InputError

_GSD = SIZE / SIDE
_TRAIN_AND_VALIDATION = 61_712
_TEST = {1: 15_700, 2: 16_050}
_TEST_DOMAINS = {  # of FLAIR#1
    "D012_2019": 1750,
    "D022_2021": 500,
    "D026_2020": 1825,
    "D064_2021": 1775,
    "D068_2021": 1775,
    "D071_2020": 1800,
    "D075_2021": 750,
    "D076_2019": 1750,
    "D083_2020": 2025,
    "D085_2019": 1750,
}


def problems(layout: Layout, generation: int, nomenclature: Nomenclature, window: int) -> Iterator[Problem]:
    """Yield what is wrong, patch by patch, then area by area, then with the whole.

    Args:
        layout: What the folder holds.
        generation: 1 or 2.
        nomenclature: Which label values may occur.
        window: Side of the Sentinel-2 window in pixels; 0 without series.
    """
    for patch in layout.patches:
        yield from _image(layout, patch)
        yield from _labels(patch, nomenclature)
        if window:
            yield from _window(layout, patch, window)
    if window:
        some = {(patch.domain, patch.zone): patch for patch in layout.patches}
        for area in sorted(layout.areas):
            yield from _area(layout, area, some.get(area))
    yield from _counts(layout, generation)


def said(check: Callable[[], object], place: str) -> Iterator[Problem]:
    """Yield what a check raised, as a problem: the parts of an error's text are file, finding and remedy."""
    try:
        check()
    except InputError as error:
        text, _, remedy = str(error).partition(" Try: ")
        file, _, what = text.partition(": ")
        yield Problem(file, what, remedy, place)


def _image(layout: Layout, patch: Patch) -> Iterator[Problem]:
    def check() -> None:
        header = read_header(patch.image)
        check_image((header.bands, header.height, header.width), header.dtype, (5, SIDE, SIDE), ("uint8",), str(patch.image))
        if header.epsg and (header.epsg != 2154 or abs(header.gsd - _GSD) > 1e-6):
            raise InputError(
                f"{patch.image}: EPSG:{header.epsg} at {header.gsd:g} m, expected EPSG:2154 at {_GSD:g} m. Try: the published image."
            )
        entry = layout.metadata.get(patch.id)
        if header.epsg and entry is not None:
            apart = (header.left + SIZE / 2 - entry["patch_centroid_x"], header.top - SIZE / 2 - entry["patch_centroid_y"])
            if max(map(abs, apart)) > _GSD:
                raise InputError(
                    f"{patch.image}: its centre lies {apart[0]:+.1f} m east and {apart[1]:+.1f} m north of where {layout.metadata_file} "
                    "says. Try: metadata and images of one download."
                )

    yield from said(check, patch.id)
    if layout.metadata and patch.id not in layout.metadata:
        yield Problem(str(layout.metadata_file), "no entry, so its date is not known", "the metadata of this download", patch.id)


def _labels(patch: Patch, nomenclature: Nomenclature) -> Iterator[Problem]:
    if patch.mask is not None:
        mask = patch.mask
        yield from said(lambda: class_ids(read_labels(mask), nomenclature, str(mask)), patch.id)
    elif not patch.test:
        yield Problem(str(patch.image), f"no mask MSK_{patch.id.partition('_')[2]}.tif", "download the labels of this domain", patch.id)


def _window(layout: Layout, patch: Patch, window: int) -> Iterator[Problem]:
    if (patch.domain, patch.zone) not in layout.areas:
        what = f"no Sentinel area of {patch.domain} {patch.zone}, so it has no series"
        yield Problem(str(patch.image), what, "download the Sentinel data of this domain", patch.id)
        return
    try:
        shape, _ = npy_header(area_files(layout, patch)["data"])
    except InputError:
        return  # said once for the area
    yield from said(lambda: window_slices(layout, patch, window, shape), patch.id)


def _area(layout: Layout, area: tuple[str, str], patch: Patch | None) -> Iterator[Problem]:
    files = layout.areas[area]
    if patch is None:
        yield Problem(str(next(iter(files.values()))), f"no aerial images of {' '.join(area)}", "download the images of this domain")
        return

    def check() -> None:
        area_files(layout, patch)
        days = product_days(read_products(files["products"]), str(files["products"]))
        shape, _ = npy_header(files["data"])
        check_area(files["data"], (len(days), 10, *shape[2:]), S2_DTYPES)
        check_area(files["masks"], (len(days), 2, *shape[2:]), MASK_DTYPES)

    yield from said(check, "")


def _counts(layout: Layout, generation: int) -> Iterator[Problem]:
    """Yield counts that are not the published ones, where a part is there nearly whole."""
    found = Counter(patch.test for patch in layout.patches)
    parts = [("train and validation", found[False], _TRAIN_AND_VALIDATION), (f"FLAIR#{generation} test", found[True], _TEST[generation])]
    if generation == 1:
        domains = Counter(patch.domain for patch in layout.patches if patch.test)
        parts += [(domain, domains[domain], published) for domain, published in _TEST_DOMAINS.items()]
    for part, number, published in parts:
        if 0.9 * published <= number != published:
            yield Problem("the folder", f"{number} patches of {part}, published are {published}", "download what is missing")
