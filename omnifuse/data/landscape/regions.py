"""Five farming regions: climate, terrain, field pattern and what is grown. The unit of out-of-region splits."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """Averages of a region; places and climate cells scatter around them.

    Attributes:
        name: Name for people.
        temperature: Annual mean air temperature in °C at the mean elevation.
        amplitude: Half the difference between the warmest and the coldest day of the mean year in °C.
        elevation: Mean elevation in metres.
        relief: Standard deviation of elevation between climate cells in metres.
        cloud: Fraction of time under cloud.
        rain: Probability of rain per day.
        field: Typical field in hectares.
        hedge: Probability that two neighbouring fields are parted by a hedge.
        soil: Brightness of bare soil relative to the table of spectra.
        wild: Share of parcels that are not farmed.
        crops: Shares of the twelve crops in the order of `covers.COVERS`; they need not add up to one.
        corner: Longitude and latitude of the south-western corner in degrees.
    """

    name: str
    temperature: float
    amplitude: float
    elevation: float
    relief: float
    cloud: float
    rain: float
    field: float
    hedge: float
    soil: float
    wild: float
    crops: tuple[float, ...]
    corner: tuple[float, float]


# The crops are: meadow, wheat, barley, rapeseed, corn, sunflower, soybean, beet, alfalfa, rice, grapevine, orchard.
REGIONS = (
    Region("oceanic", 11.6, 6.6, 90, 50, 0.60, 0.42, 1.8, 0.75, 0.85, 0.26, (24, 13, 10, 9, 17, 4, 5, 6, 8, 1.5, 4, 7), (-0.9, 48.3)),
    Region(
        "northern plain", 10.8, 7.8, 110, 40, 0.58, 0.38, 3.8, 0.10, 1.00, 0.16, (9, 20, 13, 13, 9, 4, 5, 17, 8, 1.5, 4, 4), (2.6, 49.5)
    ),
    Region("continental", 9.2, 9.4, 420, 130, 0.55, 0.36, 2.6, 0.30, 1.05, 0.30, (18, 13, 13, 12, 11, 6, 9, 5, 9, 1.5, 7, 5), (5.3, 47.1)),
    Region("southwest", 13.2, 8.2, 260, 170, 0.46, 0.30, 2.4, 0.35, 1.15, 0.24, (11, 10, 7, 7, 13, 15, 13, 3, 6, 5, 9, 8), (0.4, 43.7)),
    Region("mediterranean", 15.2, 8.6, 160, 120, 0.30, 0.16, 1.5, 0.30, 1.35, 0.30, (8, 8, 6, 5, 5, 8, 5, 3, 9, 18, 20, 15), (4.2, 43.5)),
)
