"""Lambert-93 and UTM in plain Python, so that a place knows where it is without a geospatial library.

RGF93, ETRS89 and WGS 84 are taken as one (they differ by less than a metre in France). Against PROJ the formulas agree to a
millimetre (held by a test).
"""

import math

_E = 0.08181919104281579  # eccentricity of GRS 80
# Lambert-93 (IGN, note technique NTG 71): exponent, scale, false easting, northing of the pole.
_N, _C, _EAST, _POLE = 0.7256077650532670, 11_754_255.4261, 700_000.0, 12_655_612.0499
# UTM: rectifying radius times 0.9996, and Krüger's series to the fourth order of the third flattening (Karney, arXiv:1002.1417).
_F = 1 - math.sqrt(1 - _E**2)
_T = _F / (2 - _F)
_RADIUS = 0.9996 * 6_378_137.0 / (1 + _T) * (1 + _T**2 / 4 + _T**4 / 64)
_ALPHA = (
    _T / 2 - 2 * _T**2 / 3 + 5 * _T**3 / 16 + 41 * _T**4 / 180,
    13 * _T**2 / 48 - 3 * _T**3 / 5 + 557 * _T**4 / 1440,
    61 * _T**3 / 240 - 103 * _T**4 / 140,
    49_561 * _T**4 / 161_280,
)
_BETA = (
    _T / 2 - 2 * _T**2 / 3 + 37 * _T**3 / 96 - _T**4 / 360,
    _T**2 / 48 + _T**3 / 15 - 437 * _T**4 / 1440,
    17 * _T**3 / 480 - 37 * _T**4 / 840,
    4397 * _T**4 / 161_280,
)

Point = tuple[float, float]


def lambert93(longitude: float, latitude: float) -> Point:
    """Project degrees to metres in EPSG:2154."""
    radius, angle = _C * math.exp(-_N * _isometric(latitude)), _N * math.radians(longitude - 3)
    return _EAST + radius * math.sin(angle), _POLE - radius * math.cos(angle)


def from_lambert93(x: float, y: float) -> Point:
    """Return longitude and latitude in degrees of metres in EPSG:2154."""
    radius, angle = math.hypot(x - _EAST, _POLE - y), math.atan2(x - _EAST, _POLE - y)
    return 3 + math.degrees(angle / _N), _latitude(-math.log(radius / _C) / _N)


def utm(longitude: float, latitude: float, zone: int) -> Point:
    """Project degrees to metres in the northern half of a UTM zone (EPSG:32600 + zone)."""
    east, conformal = math.radians(longitude - _meridian(zone)), math.sinh(_isometric(latitude))
    xi, eta = math.atan2(conformal, math.cos(east)), math.asinh(math.sin(east) / math.hypot(conformal, math.cos(east)))
    x = eta + sum(a * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, a in enumerate(_ALPHA, 1))
    y = xi + sum(a * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, a in enumerate(_ALPHA, 1))
    return 500_000 + _RADIUS * x, _RADIUS * y


def from_utm(x: float, y: float, zone: int) -> Point:
    """Return longitude and latitude in degrees of metres in the northern half of a UTM zone."""
    xi, eta = y / _RADIUS, (x - 500_000) / _RADIUS
    north = xi - sum(b * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, b in enumerate(_BETA, 1))
    east = eta - sum(b * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, b in enumerate(_BETA, 1))
    longitude = _meridian(zone) + math.degrees(math.atan2(math.sinh(east), math.cos(north)))
    return longitude, _latitude(math.atanh(math.sin(north) / math.cosh(east)))


def _meridian(zone: int) -> float:
    return 6.0 * zone - 183


def _isometric(latitude: float) -> float:
    sine = math.sin(math.radians(latitude))
    return math.atanh(sine) - _E * math.atanh(_E * sine)


def _latitude(isometric: float) -> float:
    """Return degrees; every step gains more than two digits."""
    sine = math.tanh(isometric)
    for _ in range(8):
        sine = math.tanh(isometric + _E * math.atanh(_E * sine))
    return math.degrees(math.asin(sine))
