import math

import numpy as np
import pytest

from omnifuse.data.blocks import RADIUS, block_column, buffered, equal_area, near_to
from omnifuse.errors import ConfigError, InputError


def grid(side: int, step: float = 1000.0, **more) -> list[dict]:
    """Places in rows and columns, in one CRS."""
    return [
        {"id": f"{i}-{j}", "crs": "EPSG:2154", "left": 650_000 + i * step, "top": 6_860_000 - j * step, **more}
        for i in range(side)
        for j in range(side)
    ]


def arc(a: dict, b: dict) -> float:
    """Metres between two places on the sphere (haversine)."""
    lon, lat, lon2, lat2 = (math.radians(row[key]) for row in (a, b) for key in ("longitude", "latitude"))
    h = math.sin((lat2 - lat) / 2) ** 2 + math.cos(lat) * math.cos(lat2) * math.sin((lon2 - lon) / 2) ** 2
    return 2 * RADIUS * math.asin(math.sqrt(h))


def test_blocks_are_squares_of_the_map():
    info = grid(20)
    column, system = block_column(info, 1000.0, 5000.0)
    assert system == "EPSG:2154"
    for row, block in zip(info, column, strict=True):
        assert block == f"{math.floor((row['left'] + 500) / 5000)}/{math.floor((row['top'] - 500) / 5000)}"
    assert len(set(column)) == 16  # 20 km of 5 km
    assert block_column(info[::-1], 1000.0, 5000.0)[0] == column[::-1]


def test_without_a_common_map_blocks_are_of_equal_area():
    rng = np.random.default_rng(0)
    info = [{"id": str(i), "longitude": lon, "latitude": lat} for i, (lon, lat) in enumerate(rng.uniform((-5, 42), (8, 51), (4000, 2)))]
    column, system = block_column(info, 1000.0, 100_000.0)
    assert system == "Lambert azimuthal equal area at 1, 47 degrees"
    degrees = np.array([(row["longitude"], row["latitude"]) for row in info])
    x, y = equal_area(degrees, 1, 47).T
    assert column[0] == f"{math.floor(x[0] / 1e5)}/{math.floor(y[0] / 1e5)}"
    for lon, lat in ((2, 47), (-20, 35), (30, 65)):
        corners = equal_area(np.array([[lon, lat], [lon + 0.01, lat], [lon + 0.01, lat + 0.01], [lon, lat + 0.01]]), 1, 47)
        a, b = corners[1] - corners[0], corners[3] - corners[0]
        area = math.radians(0.01) * (math.sin(math.radians(lat + 0.01)) - math.sin(math.radians(lat))) * RADIUS**2
        np.testing.assert_allclose(abs(a[0] * b[1] - a[1] * b[0]), area, rtol=1e-3)


@pytest.mark.parametrize("projected", [True, False])
def test_no_place_of_another_part_is_within_the_buffer(projected):
    if projected:
        info = grid(30)
    else:
        info = [
            {"id": f"{i}-{j}", "longitude": 179.8 + 0.4 * i / 30 - (360 if i > 15 else 0), "latitude": 60 + 0.2 * j / 30}
            for i in range(24)
            for j in range(24)
        ]  # across the date line
    rng = np.random.default_rng(0)
    parts = rng.choice(["train", "val", "test"], len(info), p=[0.9, 0.05, 0.05]).tolist()
    buffer, side = (1500.0, 700.0) if projected else (1000.0, 500.0)
    column = buffered(parts, info, side, buffer, ("test", "val", "train"))
    assert [c for c, p in zip(column, parts, strict=True) if p == "test"] == ["test"] * parts.count("test")
    assert all(c in (p, "buffer") for c, p in zip(column, parts, strict=True))
    limit = buffer + side * math.sqrt(2)
    closer = 0
    for a, row in zip(column, info, strict=True):
        for b, other in zip(column, info, strict=True):
            apart = math.dist((row["left"], row["top"]), (other["left"], other["top"])) if projected else arc(row, other)
            if a != b and "buffer" not in (a, b):
                assert apart >= limit - 1e-2
            closer += a == "buffer" and b not in ("buffer", "train") and apart < limit
    assert closer
    for a, row in zip(column, info, strict=True):  # no place is given away without need
        if a == "buffer":
            near = [
                b
                for b, other in zip(column, info, strict=True)
                if (math.dist((row["left"], row["top"]), (other["left"], other["top"])) if projected else arc(row, other)) < limit
            ]
            assert {"test", "val"} & set(near)
    assert buffered(parts, info, side, 0, ("test", "val", "train")) == parts


def test_looking_into_neighboring_cells_finds_what_looking_everywhere_finds():
    rng = np.random.default_rng(0)
    for axes in (2, 3):
        points, others = rng.uniform(-50, 50, (300, axes)), rng.uniform(-50, 50, (40, axes))
        everywhere = (np.linalg.norm(points[:, None] - others[None], axis=-1) < 7).any(1)
        assert 0 < everywhere.sum() < 300
        assert np.array_equal(near_to(points, others, 7.0), everywhere)


def test_places_without_coordinates_and_blocks_too_small_are_refused():
    with pytest.raises(InputError, match="place 'a' has no longitude"):
        block_column([{"id": "a"}], 100.0, 1000.0)
    with pytest.raises(ConfigError, match="smaller than the places"):
        block_column(grid(2), 1000.0, 500.0)
    with pytest.raises(ConfigError, match="buffer"):
        buffered(["train"], grid(1), 100.0, -1.0, ("test", "train"))
