"""What covers the ground: crop calendars, spectra, backscatter, as data. Days of year hold in a climate of 12 °C, amplitude 8."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from omnifuse.classes import ClassTable


@dataclass(frozen=True, kw_only=True)
class Cover:
    """One land cover.

    Attributes:
        name: Name for people.
        color: `#rrggbb` in legends.
        canopy: Spectrum of its green cover.
        ground: What lies between the plants.
        winter: Green cover in winter.
        emergence: Day on which the winter cover has come up half-way, less two weeks.
        rise: Middle and rate of the spring growth in days.
        fall: Middle and rate of the senescence in days.
        peak: Largest green cover.
        harvest: Day of harvest; infinite for what stands all year.
        flower: Middle, width in days and share of the canopy in flower.
        flood: First and last day under water.
        scatter: VV and VH of the closed canopy in dB.
        attenuation: Optical depth of the closed canopy at C band, one way.
        stems: Two-way optical depth of what stands all year: trunks, trellises, branches.
        texture: Pattern below 10 m: `smooth`, `tramlines`, `drilled`, `swaths`, `rows`, `grid`, `crowns`, `houses`.
    """

    name: str
    color: str = "#4d4d4d"
    canopy: str = "grass"
    ground: str = "soil"
    winter: float = 0.0
    emergence: float = -180.0
    rise: tuple[float, float] = (110.0, 12.0)
    fall: tuple[float, float] = (305.0, 25.0)
    peak: float = 0.0
    harvest: float = float("inf")
    flower: tuple[float, float, float] = (0.0, 1.0, 0.0)
    flood: tuple[float, float] = (0.0, 0.0)
    scatter: tuple[float, float] = (-13.2, -19.8)
    attenuation: float = 1.6
    stems: float = 0.0
    texture: str = "smooth"


CROPS = (
    Cover(name="meadow", color="#9bd45a", winter=0.52, rise=(78, 16), fall=(320, 25), peak=0.86, texture="swaths"),
    Cover(
        name="winter wheat",
        color="#f2c14e",
        canopy="cereal",
        winter=0.35,
        emergence=-45,
        rise=(74, 13),
        fall=(171, 8),
        peak=0.93,
        harvest=200,
        scatter=(-17.5, -23.0),
        attenuation=2.2,
        texture="tramlines",
    ),
    Cover(
        name="winter barley",
        color="#c98b1d",
        canopy="cereal",
        winter=0.42,
        emergence=-55,
        rise=(68, 13),
        fall=(157, 8),
        peak=0.91,
        harvest=183,
        scatter=(-16.8, -22.3),
        attenuation=2.2,
        texture="tramlines",
    ),
    Cover(
        name="winter rapeseed",
        color="#f7f01e",
        canopy="broadleaf",
        winter=0.62,
        emergence=-95,
        rise=(62, 11),
        fall=(168, 9),
        peak=0.95,
        harvest=193,
        flower=(106, 8, 0.62),
        scatter=(-11.5, -15.8),
        texture="tramlines",
    ),
    Cover(
        name="corn",
        color="#e8641b",
        canopy="corn",
        rise=(166, 9),
        fall=(258, 11),
        peak=0.93,
        harvest=276,
        scatter=(-9.8, -15.6),
        attenuation=1.8,
        texture="drilled",
    ),
    Cover(
        name="sunflower",
        color="#8c4a12",
        canopy="broadleaf",
        rise=(160, 8),
        fall=(234, 9),
        peak=0.90,
        harvest=254,
        flower=(195, 7, 0.35),
        scatter=(-9.3, -15.6),
        texture="drilled",
    ),
    Cover(
        name="soybean",
        color="#12a083",
        canopy="broadleaf",
        rise=(170, 9),
        fall=(254, 9),
        peak=0.94,
        harvest=270,
        scatter=(-11.4, -18.0),
        texture="drilled",
    ),
    Cover(
        name="beet",
        color="#c2268f",
        canopy="broadleaf",
        rise=(150, 10),
        fall=(305, 20),
        peak=0.93,
        harvest=292,
        scatter=(-10.0, -16.4),
        texture="drilled",
    ),
    Cover(
        name="alfalfa",
        color="#1e7a34",
        canopy="broadleaf",
        winter=0.48,
        rise=(80, 13),
        fall=(320, 25),
        peak=0.93,
        scatter=(-12.2, -18.6),
        texture="swaths",
    ),
    Cover(
        name="rice",
        color="#2f8fe0",
        canopy="grass",
        rise=(178, 9),
        fall=(252, 9),
        peak=0.92,
        harvest=268,
        flood=(122, 238),
        scatter=(-10.8, -17.8),
        texture="smooth",
    ),
    Cover(
        name="grapevine",
        color="#6a2fa0",
        canopy="leafy",
        rise=(128, 12),
        fall=(298, 12),
        peak=0.46,
        scatter=(-11.3, -17.6),
        stems=0.9,
        texture="rows",
    ),
    Cover(
        name="orchard",
        color="#f29bb5",
        canopy="leafy",
        rise=(112, 12),
        fall=(306, 12),
        peak=0.58,
        scatter=(-9.9, -15.5),
        stems=1.3,
        texture="grid",
    ),
)
_WOOD: dict[str, Any] = {
    "canopy": "wood",
    "fall": (305.0, 10.0),
    "scatter": (-9.3, -14.6),
    "attenuation": 3.0,
    "stems": 2.5,
    "texture": "crowns",
}
WILD = (
    Cover(name="forest", winter=0.45, rise=(108, 8), peak=0.93, **_WOOD),
    Cover(
        name="shrub",
        canopy="leafy",
        winter=0.22,
        rise=(115, 12),
        fall=(300, 12),
        peak=0.58,
        scatter=(-11.2, -17.0),
        stems=0.6,
        texture="crowns",
    ),
    Cover(name="built", ground="built", winter=0.18, peak=0.30, scatter=(-10.5, -16.5), texture="houses"),
    Cover(name="water", ground="water"),
)
STRIPS = (
    Cover(name="road", ground="road"),
    Cover(name="hedge", winter=0.35, rise=(108, 10), peak=0.90, **_WOOD),
    Cover(name="margin", winter=0.45, rise=(85, 18), fall=(320, 25), peak=0.75),
)
COVERS = CROPS + WILD + STRIPS
WILD_SHARES = (0.46, 0.20, 0.22, 0.12)
ROAD, HEDGE, MARGIN = (len(CROPS) + len(WILD) + i for i in range(3))
LABEL = np.array([*range(1, len(CROPS) + 1), *[0] * (len(WILD) + len(STRIPS))], dtype=np.uint8)  # Class of each cover.
VOID = len(CROPS) + 1
CLASSES = ClassTable(
    names=("background", *(cover.name for cover in CROPS)),
    colors=("#4d4d4d", *(cover.color for cover in CROPS)),
    ignore=VOID,
)

# Reflectance × 1000 at B2 B3 B4 B5 B6 B7 B8 B8A B11 B12.
SPECTRA: dict[str, np.ndarray] = {
    name: np.array(values) / 1000
    for name, values in {
        "cereal": (28, 58, 30, 92, 300, 390, 420, 440, 205, 95),
        "broadleaf": (30, 74, 34, 112, 345, 450, 480, 500, 235, 110),
        "corn": (29, 64, 31, 98, 315, 412, 440, 460, 205, 92),
        "grass": (34, 74, 40, 112, 285, 365, 392, 410, 235, 128),
        "wood": (20, 44, 25, 68, 215, 280, 300, 320, 140, 65),
        "leafy": (28, 60, 33, 92, 260, 340, 365, 385, 195, 95),
        "dry": (75, 105, 140, 170, 205, 225, 245, 262, 330, 250),
        "soil": (85, 112, 145, 165, 185, 198, 212, 226, 300, 262),
        "flower": (45, 150, 125, 175, 345, 430, 450, 462, 220, 110),
        "water": (42, 42, 32, 28, 22, 20, 18, 16, 10, 8),
        "built": (130, 140, 150, 158, 165, 170, 178, 182, 195, 185),
        "road": (118, 126, 134, 140, 146, 150, 156, 160, 172, 160),
        "cloud": (780, 760, 750, 755, 760, 765, 770, 765, 560, 450),
    }.items()
}

# VV and VH of the ground in dB; bare soil is wetter by (4, 2.6) dB when soaked.
GROUND = {"soil": (-13.5, -21.5), "water": (-20.5, -27.5), "built": (-4.0, -12.0), "road": (-16.0, -23.5)}
FLOODED = (-19.5, -26.5)
RIPE = (-14.5, -20.5)
