from itertools import product

import pytest

from omnifuse.data.projections import from_lambert93, from_utm, lambert93, utm

PLACES = tuple(product((-4.3, -0.9, 0.1, 2.7, 5.9, 8.1), (42.4, 46.5, 50.9)))


def test_lambert93_has_its_origin_where_it_should():
    assert lambert93(3, 46.5) == pytest.approx((700_000, 6_600_000), abs=1e-3)
    assert lambert93(-0.9, 48.3) == pytest.approx((410_903.8536, 6_807_104.4031), abs=1e-3)  # PROJ 9


def test_utm_is_what_proj_says():
    assert utm(3, 46.5, 31) == pytest.approx((500_000, 5_149_603.3617), abs=1e-3)  # PROJ 9
    assert utm(7.0, 48.2, 32) == pytest.approx((351_389.8772, 5_340_463.7231), abs=1e-3)


@pytest.mark.parametrize("zone", [30, 31, 32])
def test_both_projections_agree_with_proj_to_a_millimetre(zone):
    warp = pytest.importorskip("rasterio.warp")
    for longitude, latitude in PLACES:
        for ours, back, code in ((lambert93, from_lambert93, 2154), (utm, from_utm, 32600 + zone)):
            if code != 2154 and abs(longitude - (6 * zone - 183)) > 4:
                continue
            arguments = () if code == 2154 else (zone,)
            x, y = ours(longitude, latitude, *arguments)
            theirs = warp.transform("EPSG:4326", f"EPSG:{code}", [longitude], [latitude])
            assert (x, y) == pytest.approx((theirs[0][0], theirs[1][0]), abs=1e-3)
            assert back(x, y, *arguments) == pytest.approx((longitude, latitude), abs=1e-9)
