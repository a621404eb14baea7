"""What can be wrong with a folder of FLAIR-HUB, found from headers, tables and labels."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from omnifuse.data.problems import Problem
from omnifuse.data.sources.flair_classes import class_ids
from omnifuse.data.sources.flair_hub_layout import HubPatch, split_of
from omnifuse.data.sources.flair_problems import said
from omnifuse.data.sources.flair_products import Product
from omnifuse.data.sources.flair_rasters import Header, check_image, read_header
from omnifuse.errors import InputError

if TYPE_CHECKING:
    from omnifuse.data.sources.flair_hub import FlairHub

_PUBLISHED = {"train": 152_225, "val": 38_175, "test": 50_700}
_APART = 0.1  # metres


def problems(source: "FlairHub") -> Iterator[Problem]:
    """Yield what is wrong, patch by patch, then with the tables and the whole."""
    in_zone = _products_of_zones(source)
    for patch, present in zip(source.layout.patches, source.layout.present, strict=True):
        headers: dict[str, Header] = {}
        for name, product in source.products.items():
            if product.folder in present:
                yield from _raster(source, name, product, patch, headers)
                if product.mask and source.clouds is not None:
                    yield from _mask(source, name, product, patch)
            elif product.folder in in_zone[patch.zone] and not product.sparse:
                what = f"no such file, though other patches of {patch.zone} have one, so the patch lacks {name!r}"
                yield Problem(str(source.layout.file(patch, product.folder)), what, "download the archive of this product again", patch.id)
        yield from _labels(source, patch, present, headers)
        yield from _ground(source, patch, headers)
    yield from _splits(source)


def _products_of_zones(source: "FlairHub") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for patch, present in zip(source.layout.patches, source.layout.present, strict=True):
        found.setdefault(patch.zone, set()).update(present)
    return found


def _raster(source: "FlairHub", name: str, product: Product, patch: HubPatch, headers: dict[str, Header]) -> Iterator[Problem]:
    file = source.layout.file(patch, product.folder)

    def check() -> None:
        header = headers[product.folder] = read_header(file)
        side, dates = product.modality.pixels(source.size), header.bands // product.bands
        if not product.modality.series:
            dates = 1
        check_image(
            (header.bands, header.height, header.width), header.dtype, (dates * product.bands, side, side), (product.dtype,), str(file)
        )
        days = source.days(name, patch)
        if len(days) != dates:
            table = source.tables[name]
            raise InputError(f"{file}: {dates} dates, but {table} has {len(days)}. Try: the raster and the table of one download.")

    yield from said(check, patch.id)


def _mask(source: "FlairHub", name: str, product: Product, patch: HubPatch) -> Iterator[Problem]:
    file = source.layout.file(patch, product.mask)

    def check() -> None:
        header, dates = read_header(file), len(source.days(name, patch))
        if (header.bands, header.height, header.width) != (2 * dates, *2 * (product.modality.pixels(source.size),)):
            raise InputError(
                f"{file}: {header.bands} bands of {header.height}×{header.width}, expected snow and cloud for {dates} dates. "
                "Try: download this file again."
            )

    yield from said(check, patch.id)


def _labels(source: "FlairHub", patch: HubPatch, present: frozenset[str], headers: dict[str, Header]) -> Iterator[Problem]:
    from omnifuse.data.sources.flair_hub import read_hub_labels

    file = source.layout.file(patch, source.label_product)
    if source.label_product not in present:
        yield Problem(str(file), "no such file, so the patch has no labels", "download the labels of this domain", patch.id)
        return

    def check() -> None:
        headers[source.label_product] = read_header(file)
        class_ids(read_hub_labels(file, source.label_bands), source.nomenclature, str(file))

    yield from said(check, patch.id)


def _ground(source: "FlairHub", patch: HubPatch, headers: dict[str, Header]) -> Iterator[Problem]:
    """Yield rasters of a patch that lie elsewhere than its first one or its outline, or in another reference system."""
    placed = {product: (f"EPSG:{header.epsg}", header.left, header.top) for product, header in headers.items() if header.epsg}
    where = source.corners.get(patch.id) or next(iter(placed.values()), None)
    for product, corner in placed.items():
        if where is not None and (corner[0] != where[0] or max(abs(corner[1] - where[1]), abs(corner[2] - where[2])) > _APART):
            here, there = (f"{system} {left:.2f}, {top:.2f}" for system, left, top in (corner, where))
            what = f"its upper left corner is at {here}, that of the patch at {there}"
            yield Problem(str(source.layout.file(patch, product)), what, "download this file again", patch.id)


def _splits(source: "FlairHub") -> Iterator[Problem]:
    """Yield splits that are not as published, and counts where the folder is nearly all of the data set."""
    table = str(source.split_table or source.path)
    for patch in source.layout.patches:
        published = split_of(patch.domain)
        if patch.id in source.splits and source.splits[patch.id] != published != "unlisted":
            what = f"split_1 is {source.splits[patch.id]!r}, published is {published!r} for {patch.domain}"
            yield Problem(table, what, "the table of the published data set", patch.id)
    yield from _counts(Counter(str(row["split"]) for row in source.info), table)


def _counts(found: dict[str, int], table: str) -> Iterator[Problem]:
    """Yield splits whose size is not the published one, where the folder is nearly all of the data set."""
    if sum(found.values()) >= 0.9 * sum(_PUBLISHED.values()):
        for name, published in _PUBLISHED.items():
            if found.get(name, 0) != published:
                yield Problem(table, f"{found.get(name, 0)} patches in {name}, published are {published}", "download what is missing")
