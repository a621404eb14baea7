"""What the parcels' state says in numbers: when and how green they are. Truths of the simulation, drawn into no image."""

import numpy as np
from jaxtyping import Float

from omnifuse.classes import Quantities
from omnifuse.data.landscape.climate import DOY
from omnifuse.data.landscape.covers import COVERS
from omnifuse.data.landscape.parcels import Parcels
from omnifuse.data.landscape.phenology import State

# Mean and standard deviation, measured by
#     label_statistics(Landscape(LandscapeConfig(places=240, size=32, target="quantities")), np.arange(240))    of omnifuse.data.targets
QUANTITIES = Quantities(
    names=("peak_day", "peak_cover", "green_days"),
    units=("day of year", "share of ground", "days of full cover"),
    mean=(170.2, 0.834, 135.2),
    std=(42.9, 0.153, 57.2),
)

_YEAR = DOY >= 1
_GROWS = np.array([cover.ground not in {"water", "built", "road"} for cover in COVERS])


def quantities(parcels: Parcels, state: State) -> Float[np.ndarray, "3 h w"]:
    """Return, for the largest component of each pixel, from 1 January of the harvest year to the end of the landscape, 24 November:

    * `peak_day`: the day of year on which its own plants cover most of the ground (1 is 1 January), the first of equals;
    * `peak_cover`: the share of the ground that they cover on that day;
    * `green_days`: the sum of that share over the days, which is in days: a stand for the biomass that grows.

    NaN on water, built land and roads. Plants are the crop or the wild cover: not volunteers, cover crops, or grass between rows. The
    variation of vigor within a parcel, which the images show, is not in these numbers.
    """
    green = state.green[:, _YEAR]
    of_component = np.stack([1.0 + green.argmax(1), green.max(1), green.sum(1)])
    of_component[:, ~_GROWS[parcels.cover]] = np.nan
    of_pixel = of_component[:, parcels.count.argmax(0)]  # the component that the class is of, too
    return of_pixel.reshape(-1, parcels.size, parcels.size).astype(np.float32)
