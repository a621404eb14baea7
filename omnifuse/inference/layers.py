"""What a map of an area consists of: its classes, and on request their confidence and probabilities; or the numbers of embeddings."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from omnifuse.classes import ClassTable, Quantities
from omnifuse.errors import InputError

NODATA = 255  # of all layers of eight bits
PROBABILITY_STEPS = 250  # a probability of 1 as it is stored: value × 0.004


@dataclass(frozen=True)
class Layer:
    """One raster of a map.

    Attributes:
        what: `classes`, `confidence`, `probabilities`, `quantities`, `embedding` or `picture`; names its blocks and ends its file's name.
        bands: Name of each band.
        dtype: Type of the stored numbers.
        nodata: Stored number where no sensor saw the ground; NaN for floats.
        scale: Factor from stored numbers to values.
        scales: The same band by band, where bands differ.
        units: Unit of each band.
        classes: Names and colors, of the layer of classes.
    """

    what: Literal["classes", "confidence", "probabilities", "quantities", "embedding", "picture"]
    bands: tuple[str, ...]
    dtype: Literal["uint8", "int8", "float16", "float32"] = "uint8"
    nodata: float = NODATA
    scale: float = 1.0
    scales: tuple[float, ...] = ()
    units: tuple[str, ...] = ("",)
    classes: ClassTable | None = None


def layers_of(labels: ClassTable | Quantities, confidence: bool = False, probabilities: bool = False) -> list[Layer]:
    """Return the layers of a map of these labels, the main one first.

    Raises:
        InputError: for more than 255 classes, and for confidence where nothing has a probability.
    """
    if isinstance(labels, Quantities):
        if confidence or probabilities:
            raise InputError(f"predict: a model of {', '.join(labels.names)} has neither confidence nor probabilities. Try: without them.")
        return [Layer("quantities", labels.names, "float32", float("nan"), units=labels.units)]
    if len(labels.names) > NODATA or not labels.exclusive:
        what = "classes that exclude each other" if not labels.exclusive else f"at most {NODATA} classes"
        raise InputError(f"predict: a map of classes needs {what}; the model has {len(labels.names)}. Try: another model.")
    made = [Layer("classes", ("class",), classes=labels)]
    if confidence:
        made.append(Layer("confidence", ("confidence",), units=("%",)))
    if probabilities:
        made.append(Layer("probabilities", labels.names, scale=1 / PROBABILITY_STEPS, units=("1",) * len(labels.names)))
    return made


def stored(layer: Layer, values: Float[np.ndarray, "k h w"], seen: Bool[np.ndarray, "h w"]) -> Num[np.ndarray, "b h w"]:
    """Return a layer's numbers as they are stored, from probabilities of classes or from quantities."""
    if layer.what == "quantities":
        return np.where(seen, values, np.nan).astype(np.float32)
    return np.where(seen, _eight_bits(layer, values), NODATA).astype(np.uint8)


def _eight_bits(layer: Layer, probability: Float[np.ndarray, "k h w"]) -> UInt8[np.ndarray, "b h w"]:
    if layer.what == "classes":
        return probability.argmax(0)[None].astype(np.uint8)
    factor = PROBABILITY_STEPS if layer.what == "probabilities" else 100
    of = probability if layer.what == "probabilities" else probability.max(0, keepdims=True)
    return np.rint(np.clip(of, 0, 1) * factor).astype(np.uint8)


def unseen(layer: Layer, height: int, width: int) -> Num[np.ndarray, "b h w"]:
    """Return a block of ground that no sensor saw."""
    return np.full((len(layer.bands), height, width), layer.nodata, layer.dtype)
