"""How sure a map is: rasters of shares on the map's own grid, as whole percent."""

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from omnifuse.data.grid import same_system
from omnifuse.data.raster_file import Header, read_header
from omnifuse.errors import InputError
from omnifuse.inference.web_map.classified import Classified
from omnifuse.inference.web_map.reducing import NO_DATA, block_means, strips

_SLACK = 0.01  # of a pixel: corners are stored with rounding errors
_ROUNDED = 1e-3  # by which a share may pass 1


def read_confidence(path: str, shown: Classified, band: int = 1) -> UInt8[np.ndarray, "h w"]:
    """Return percent on the pixels of a reduced map, the mean over those that a pixel stands for; 255 where there is none.

    Stored are shares of 0 to 1 as floating-point numbers, or as whole numbers with a scale, or whole percent.

    Raises:
        InputError: where the grid is not the map's, or the numbers are no shares.
    """
    header = read_header(path)
    _check_grid(header, shown.header)
    if not 1 <= band <= len(header.names):
        raise InputError(f"{path}: has no band {band}, found {len(header.names)}. Try: the confidence that `omnifuse predict` writes.")
    parts = []
    for row, values in strips(header, band, shown.factor):
        percent, valid = _percent(values, header, band)
        outside = percent[valid & ~((percent >= 0) & (percent <= 100 * (1 + _ROUNDED)))]
        if outside.size:
            raise InputError(
                f"{path}: band {band} holds {outside.flat[0]:g} % at row {row} or below, expected 0 to 100. "
                "Try: shares of 0 to 1 as floating-point numbers, or whole percent."
            )
        mean = block_means(percent, valid, shown.factor)
        parts.append(np.where(np.isnan(mean), NO_DATA, np.minimum(np.rint(np.nan_to_num(mean)), 100)).astype(np.uint8))
    return np.concatenate(parts)


def read_probabilities(path: str, shown: Classified) -> tuple[UInt8[np.ndarray, "h w"], ...]:
    """Return percent of each class as `read_confidence` does; one band per class, in their order."""
    header = read_header(path)
    if len(header.names) != len(shown.names):
        raise InputError(
            f"{path}: {len(header.names)} bands, the map has {len(shown.names)} classes. Try: the probabilities of the same prediction."
        )
    return tuple(read_confidence(path, shown, band) for band in range(1, len(header.names) + 1))


def _percent(values: Num[np.ndarray, "h w"], header: Header, band: int) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    scale, offset = header.scales[band - 1], header.offsets[band - 1]
    valid = np.isfinite(values)
    if header.nodata is not None and np.isfinite(header.nodata):
        valid &= values != header.nodata
    shares = values.dtype.kind == "f" or scale != 1
    return (values.astype(np.float64) * scale + offset) * (100 if shares else 1), valid


def _check_grid(found: Header, wanted: Header) -> None:
    apart = max(abs(found.left - wanted.left) / wanted.pixel_width, abs(found.top - wanted.top) / wanted.pixel_height)
    same_size = (found.height, found.width) == (wanted.height, wanted.width)
    if not same_size or apart > _SLACK or not same_system(found.crs, wanted.crs):
        raise InputError(
            f"{found.path}: {found.width} × {found.height} pixels on {found.extent()}, but the map has {wanted.width} × {wanted.height} on "
            f"{wanted.extent()}. Try: the confidence of the same prediction."
        )
