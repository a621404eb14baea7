"""Who farms what where: fields cut out of the plain, with roads, hedges and margins between them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from omnifuse.data.landscape.climate import Site
from omnifuse.data.landscape.covers import CROPS, HEDGE, LABEL, MARGIN, ROAD, VOID, WILD_SHARES
from omnifuse.data.landscape.noise import Fractal, centers

Point = tuple[float, float]
HECTARE = 10_000.0
ROAD_AREA = 16 * HECTARE  # Blocks larger than this are opened up by roads.
WHOLE = 0.35  # A parcel with less of its area inside the place is void.


@dataclass(frozen=True)
class Parcels:
    """The ground of a place as components: fields and wild parcels, and last road, hedge and margin.

    Attributes:
        cover: Index into `COVERS` of each component.
        inside: Share of each component's area that is inside the place.
        angle: Direction of cultivation of each component in radians.
        component: Component of each high-resolution pixel.
        east: Coordinate in metres, bent as the fields are, of each high-resolution pixel.
        south: The other coordinate.
        count: High-resolution pixels of each component in each pixel of 10 m; integers, so that mixing is exact.
        hr: High-resolution pixels along 10 m.
    """

    cover: Int[np.ndarray, " p"]
    inside: Float[np.ndarray, " p"]
    angle: Float[np.ndarray, " p"]
    component: Int[np.ndarray, "_hh _hw"]
    east: Float[np.ndarray, "_hh _hw"]
    south: Float[np.ndarray, "_hh _hw"]
    count: Float[np.ndarray, "p _cells"]
    hr: int

    @property
    def size(self) -> int:
        """Side of the place in pixels of 10 m."""
        return len(self.component) // self.hr

    def target(self) -> UInt8[np.ndarray, "h w"]:
        """Return the class of the largest component of each pixel; void where too little of a field is seen."""
        label = np.where((self.inside < WHOLE) & (LABEL[self.cover] > 0), VOID, LABEL[self.cover])
        return label[self.count.argmax(0)].reshape(self.size, self.size).astype(np.uint8)

    def mix(self, value: Float[np.ndarray, "*_f p"]) -> Float[np.ndarray, "*_f h w"]:
        """Return area-weighted means over pixels of 10 m of a value per component.

        Exact on any machine as long as values are whole numbers below 2**24 / hr**2: then so is every partial sum.
        """
        total = value.reshape(-1, len(self.cover)).astype(np.float32) @ self.count
        return total.reshape(*value.shape[:-1], self.size, self.size) / np.float32(self.hr**2)


def cut(polygon: list[Point], normal: Point, offset: float) -> list[Point]:
    """Return the part of a convex polygon on the side `normal · x <= offset`."""
    result = []
    for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = ax * normal[0] + ay * normal[1] - offset, bx * normal[0] + by * normal[1] - offset
        if a <= 0:
            result.append((ax, ay))
        if (a < 0 < b) or (b < 0 < a):
            f = a / (a - b)
            result.append((ax + f * (bx - ax), ay + f * (by - ay)))
    return result


def area(polygon: list[Point]) -> float:
    """Return the area of a polygon."""
    return 0.5 * abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True)))


def longest(polygon: list[Point]) -> float:
    """Return the direction of the longest edge in radians."""
    edges = [(bx - ax, by - ay) for (ax, ay), (bx, by) in zip(polygon, polygon[1:] + polygon[:1], strict=True)]
    dx, dy = max(edges, key=lambda edge: edge[0] ** 2 + edge[1] ** 2)
    return float(np.arctan2(dy, dx))


def strip(rng: np.random.Generator, site: Site, block: float) -> tuple[int, float]:
    """Return what parts the two halves of a block of the given area, and its width in metres."""
    chance, width = rng.random(), rng.random()
    if block > ROAD_AREA and chance < 0.75:
        return ROAD, 6 + 4 * width
    if chance < site.region.hedge:
        return HEDGE, 3 + 5 * width
    return MARGIN, 0.6 + 1.6 * width


def draw_parcels(rng: np.random.Generator, site: Site, size: int, hr: int) -> Parcels:
    """Divide a place and its surroundings until fields have the size of the region, and give each a cover."""
    meters, gsd = 10.0 * size, 10.0 / hr
    grid = centers(size * hr, gsd)
    bend = Fractal.draw(rng, 2, 0, meters, (450, 180, 60), 1.4).at(grid, grid).astype(np.float64) * 14
    x, y = grid[None] - meters / 2 + bend[0], grid[:, None] - meters / 2 + bend[1]
    turn = rng.uniform(0, np.pi)
    east, south = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)

    reach = 0.75 * meters + 300
    shift = rng.uniform(-100, 100, 2)
    square = [(sx * reach + shift[0], sy * reach + shift[1]) for sx, sy in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    field = site.region.field * HECTARE * np.exp(0.25 * rng.standard_normal())
    component = np.empty(east.size, dtype=np.int32)
    leaves: list[tuple[float, int, float]] = []  # area, high-resolution pixels, direction
    strips: dict[int, list[Int[np.ndarray, " k"]]] = {ROAD: [], HEDGE: [], MARGIN: []}
    stack = [(square, np.arange(east.size), east.ravel(), south.ravel())]
    while stack:
        polygon, pixels, u, v = stack.pop()
        if not len(pixels):
            continue
        extent, along = area(polygon), longest(polygon)
        if extent < 1.35 * field * np.exp(0.45 * rng.standard_normal()):
            component[pixels] = len(leaves)
            leaves.append((extent, len(pixels), along))
            continue
        tilt = along + np.radians(4) * rng.standard_normal()
        normal = (float(np.cos(tilt)), float(np.sin(tilt)))
        reaches = [px * normal[0] + py * normal[1] for px, py in polygon]
        offset = min(reaches) + rng.uniform(0.33, 0.67) * (max(reaches) - min(reaches))
        kind, width = strip(rng, site, extent)
        distance = u * normal[0] + v * normal[1] - offset
        left, right = distance < -width / 2, distance > width / 2
        strips[kind].append(pixels[~(left | right)])
        back = (-normal[0], -normal[1])
        stack.append((cut(polygon, normal, offset - width / 2), pixels[left], u[left], v[left]))
        stack.append((cut(polygon, back, -offset - width / 2), pixels[right], u[right], v[right]))
    for number, parts in enumerate(strips.values(), len(leaves)):
        component[np.concatenate([*parts, np.zeros(0, dtype=np.int64)])] = number

    num = len(leaves) + len(strips)
    cover = np.concatenate([draw_covers(rng, site, len(leaves)), [ROAD, HEDGE, MARGIN]])
    rows = np.arange(size * hr) // hr
    cell = (rows[:, None] * size + rows[None]).ravel()
    count = np.bincount(component.astype(np.int64) * size**2 + cell, minlength=num * size**2).reshape(num, size**2)
    return Parcels(
        cover=cover,
        inside=np.array([min(pixels * gsd**2 / extent, 1.0) for extent, pixels, _ in leaves] + [1.0] * 3),
        angle=np.array([direction for _, _, direction in leaves] + [0.0] * 3),
        component=component.reshape(east.shape),
        east=east,
        south=south,
        count=count.astype(np.float32),
        hr=hr,
    )


def draw_covers(rng: np.random.Generator, site: Site, num: int) -> Int[np.ndarray, " p"]:
    """Draw what grows on each parcel: the region's crops, unevenly from place to place, or wild cover."""
    local = rng.gamma(1.6, 1.0, len(CROPS)) * np.array(site.region.crops)
    crops = rng.choice(len(CROPS), num, p=local / local.sum())
    wild = rng.choice(len(WILD_SHARES), num, p=WILD_SHARES) + len(CROPS)
    return np.where(rng.random(num) < site.region.wild, wild, crops)
