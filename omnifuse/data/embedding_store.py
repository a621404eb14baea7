"""What a Zarr store of embeddings says of itself: the conventions `geoemb:`, `proj:` and `spatial:`, all of them still proposals."""

from collections.abc import Mapping
from typing import Any

from omnifuse import __version__
from omnifuse.data.extras import check_installed

_EMBEDDINGS = {
    "name": "geoemb:",
    "uuid": "61c12cc5-0e28-4056-999a-480cf3fb7e4c",
    "schema_url": "https://raw.githubusercontent.com/geo-embeddings/embeddings-zarr-convention/refs/tags/v1/schema.json",
    "spec_url": "https://github.com/geo-embeddings/embeddings-zarr-convention/blob/v1/README.md",
}


def attributes_of(
    fields: Mapping[str, Any],
    crs: str,
    upper_left: tuple[float, float],
    gsd: float,
    shape: tuple[int, int],
    made: Mapping[str, str],
) -> dict[str, Any]:
    """Return the attributes of the store's root, beside the CF ones.

    Args:
        fields: What the vectors are, under the names of the `emb` extension of STAC. The steps of signed bytes stay under its name:
            the convention of Zarr has no field for a step per dimension.
        crs: Reference system, as GDAL reads it.
        upper_left: x and y of the upper left corner.
        gsd: Side of a cell in metres.
        shape: Rows and columns of cells.
        made: `model`, `weights_sha256` and `sensors`.
    """
    check_installed("embeddings", "rasterio")
    from rasterio.crs import CRS

    system = CRS.from_user_input(crs)
    code = system.to_authority()
    (left, top), (rows, cols) = upper_left, shape
    found: dict[str, Any] = {
        "zarr_conventions": [_EMBEDDINGS, {"name": "proj:"}, {"name": "spatial:"}],
        "geoemb:type": fields["emb:type"],
        "geoemb:dimensions": fields["emb:dimensions"],
        "geoemb:data_type": fields["data_type"],
        "geoemb:gsd": gsd,
        "geoemb:model": f"{made['model']}@{made['weights_sha256']}",
        "geoemb:source_data": made["sensors"].split(),
        "geoemb:build_version": __version__,
        "spatial:dimensions": ["y", "x"],
        "spatial:transform": [gsd, 0.0, left, 0.0, -gsd, top],
        "spatial:shape": [rows, cols],
        "spatial:bbox": [left, top - rows * gsd, left + cols * gsd, top],
    }
    found |= {"proj:code": ":".join(code)} if code else {"proj:wkt2": system.to_wkt(version="WKT2_2019")}
    return found | dict(made) | {name: value for name, value in fields.items() if name == "emb:quantization"}
