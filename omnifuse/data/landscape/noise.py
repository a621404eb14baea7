"""Smooth random fields in metres, the same to the last bit on every machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SPREAD = 151 / 315  # Standard deviation of a 2-D cubic B-spline over unit normals, averaged over phases.


def spline(position: Float[np.ndarray, "*_b n"], nodes: int) -> Float[np.ndarray, "*_b n k"]:
    """Return cubic B-spline weights of `nodes` lattice nodes at positions in units of their spacing (from 1 to nodes - 2)."""
    base = np.floor(position)
    f = position - base
    weights = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], -1) / 6
    result = np.zeros((*position.shape, nodes))
    np.put_along_axis(result, base[..., None].astype(np.int64) + np.arange(-1, 3), weights, -1)
    return result


@dataclass(frozen=True)
class Fractal:
    """Independent normal fields of unit variance, each a sum of octaves.

    Attributes:
        low: Smallest coordinate in metres.
        octaves: Spacing in metres, amplitude and lattice of each octave.
    """

    low: float
    octaves: tuple[tuple[float, float, Float[np.ndarray, "n _ky _kx"]], ...]

    @staticmethod
    def draw(rng: np.random.Generator, num: int, low: float, high: float, scales: Sequence[float], hurst: float = 0.8) -> "Fractal":
        """Draw `num` fields over the square from `low` to `high` metres; an octave's amplitude goes as its scale to `hurst`."""
        amplitudes = np.asarray(scales) ** hurst
        amplitudes = amplitudes / np.sqrt((amplitudes**2).sum()) / SPREAD
        octaves = []
        for scale, amplitude in zip(scales, amplitudes, strict=True):
            nodes = int((high - low) / scale) + 5
            octaves.append((float(scale), float(amplitude), rng.standard_normal((num, nodes, nodes))))
        return Fractal(low, tuple(octaves))

    def at(self, rows: Float[np.ndarray, "*_n h"], columns: Float[np.ndarray, "*_n w"]) -> Float[np.ndarray, "_n h w"]:
        """Evaluate at coordinates in metres, the same for all fields or one set per field."""
        total = np.zeros(())
        for scale, amplitude, lattice in self.octaves:
            down = spline((rows - self.low) / scale + 1, lattice.shape[1])
            across = spline((columns - self.low) / scale + 1, lattice.shape[2])
            total = total + amplitude * (down @ lattice @ np.swapaxes(across, -1, -2))
        # Rounded far above the last bit, in which two machines' matrix products differ.
        return (np.rint(total * 4096) / 4096).astype(np.float32)


def centers(num: int, gsd: float) -> Float[np.ndarray, " num"]:
    """Return the coordinates of pixel centers in metres."""
    return (np.arange(num) + 0.5) * gsd


def logistic(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(x / 2))
