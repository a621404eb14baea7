"""Where outputs lie: outlines agree with PROJ and with shapely, also across the antimeridian."""

import math

import numpy as np
import pytest
from rasterio.warp import transform

from omnifuse.errors import InputError
from omnifuse.inference.footprint import bbox, centre, geojson, outline_around, outlines, place_outlines, wkb

shapely = pytest.importorskip("shapely")


def shape(outline):
    """Read an outline with shapely, from both forms, which must agree."""
    from shapely.geometry import shape as read

    polygon = read(geojson(outline))
    assert polygon.equals(shapely.from_wkb(wkb(outline)))
    assert polygon.is_valid
    return polygon


def test_an_outline_has_the_corners_of_the_square_and_turns_to_the_left():
    (outline,) = outlines("EPSG:32631", [600_000.0], [5_000_000.0], 320.0, 160.0)
    (ring,) = outline
    x, y = transform("EPSG:4326", "EPSG:32631", [p[0] for p in ring], [p[1] for p in ring])
    expected = [(600_000, 5_000_000), (600_000, 4_999_840), (600_320, 4_999_840), (600_320, 5_000_000), (600_000, 5_000_000)]
    np.testing.assert_allclose(np.column_stack([x, y]), expected, atol=0.02)  # of 1e-7 degrees
    assert shapely.LinearRing(ring).is_ccw
    assert bbox(outline) == shape(outline).bounds


def test_edges_follow_the_projection_where_they_are_cut_into_parts():
    whole, parts = (shape(outlines("EPSG:2154", [100_000.0], [7_100_000.0], 1e6, 1e6, n)[0]) for n in (1, 16))
    fine = shape(outlines("EPSG:2154", [100_000.0], [7_100_000.0], 1e6, 1e6, 256)[0])
    assert parts.symmetric_difference(fine).area < whole.symmetric_difference(fine).area / 50


def test_a_square_across_the_antimeridian_is_cut_in_two():
    (outline,) = outlines("EPSG:32601", [350_000.0], [7_200_000.0], 20_000.0, 20_000.0)
    polygon = shape(outline)
    assert len(outline) == 2 and len(polygon.geoms) == 2
    west, _, east, _ = bbox(outline)
    assert west > 179 and east < -179 and abs(centre(outline)[0]) > 179
    around = shape(outline_around(179.999, -17.0, 1000.0))
    assert max(part.bounds[2] for part in around.geoms) == 180 and min(part.bounds[0] for part in around.geoms) == -180
    moved = shape(outline_around(20.0, -17.0, 1000.0))
    assert around.area == pytest.approx(moved.area, rel=1e-4)
    east_of_it = outline_around(-179.999, -17.0, 1000.0)
    assert len(east_of_it) == 2 and len(outline_around(-179.9, -17.0, 1000.0)) == 1


@pytest.mark.parametrize("latitude", [0.0, 47.0, -79.0])
def test_a_square_around_a_point_has_its_size(latitude):
    west, south, east, north = bbox(outline_around(9.0, latitude, 1000.0))
    crs = f"+proj=laea +lat_0={latitude} +lon_0=9 +datum=WGS84"
    x, y = transform("EPSG:4326", crs, [west, east], [latitude, latitude])
    _, up = transform("EPSG:4326", crs, [9.0, 9.0], [south, north])
    assert x[1] - x[0] == pytest.approx(1000, abs=1) and up[1] - up[0] == pytest.approx(1000, abs=1)
    assert math.isclose(y[0], y[1], abs_tol=1)


def test_places_say_where_they_lie_or_have_no_outline():
    info = [
        {"id": "a"},
        {"id": "b", "crs": "EPSG:2154", "left": 700_000.0, "top": 6_600_000.0},
        {"id": "c", "longitude": 3.0, "latitude": 46.5},
    ]
    nowhere, square, around = place_outlines(info, 320.0)
    assert nowhere is None
    assert centre(square) == pytest.approx((3.00209, 46.49856), abs=1e-4)
    assert centre(around) == pytest.approx((3.0, 46.5), abs=1e-7)


def test_an_impossible_corner_or_reference_system_is_named():
    with pytest.raises(InputError, match="EPSG:99999"):
        outlines("EPSG:99999", [0.0], [0.0], 10.0, 10.0)
    with pytest.raises(InputError, match=r"1000000000000.0 is outside of EPSG:32631.*Try"):
        outlines("EPSG:32631", [600_000.0, 1e12], [5_000_000.0, 1e12], 10.0, 10.0)
