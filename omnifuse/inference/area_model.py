"""What predicting and embedding areas ask of a model: the lattice of its cells, what it maps, its values, one copy per process."""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from omnifuse.classes import ClassTable, Quantities
from omnifuse.errors import InputError
from omnifuse.inference.folder import AnyArchitecture, ContrastArchitecture, ReferenceArchitecture
from omnifuse.inference.predictor import Predictor
from omnifuse.models.heads import SegmentationConfig

one_at_a_time = threading.Lock()  # a Dask worker has many threads, a unit takes memory


def coarsest(architecture: AnyArchitecture, gsd: float) -> int:
    """Return the cells of `gsd` metres along the coarsest cells of a model's maps, such that all tiles share the grids of its sensors."""
    sensors = architecture.sensors
    with torch.device("meta"):
        encoders = [sensors.encoders[name].build(modality) for name, modality in sensors.modalities.items() if not modality.per_place]
    ratios = [scale / gsd for encoder in encoders for scale in (encoder.modality.gsd, *encoder.gsds)]
    return math.lcm(1, *(round(ratio) for ratio in ratios if ratio >= 1 and abs(ratio - round(ratio)) < 1e-3))


def labels_of_maps(architecture: AnyArchitecture) -> ClassTable | Quantities:
    """Return what a model maps.

    Raises:
        InputError: where it maps nothing.
    """
    gsd_of_maps(architecture)
    assert architecture.labels is not None
    return architecture.labels


def gsd_of_maps(architecture: AnyArchitecture) -> float:
    """Return the metres of the cells that a model maps.

    Raises:
        InputError: where it maps nothing.
    """
    if isinstance(architecture, ContrastArchitecture):
        raise InputError("predict: these weights were pretrained without labels. Try: `omnifuse embed`, or fine-tune them first.")
    if isinstance(architecture, ReferenceArchitecture):
        return architecture.model.modality.gsd
    if not isinstance(architecture.model.head, SegmentationConfig):
        raise InputError("predict: this model says one thing of a whole place, it makes no maps. Try: a model fine-tuned on label maps.")
    return architecture.model.head.gsd


@lru_cache(maxsize=2)
def loaded(folder: str, device: str) -> Predictor:
    """Return a model, read once per process."""
    from omnifuse.zoo import load

    return load(folder, device=device)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with so many threads for a while: sums over other numbers of threads may round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
