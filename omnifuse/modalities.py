"""What a sensor's pixels are: bands, ground sampling distance, units, statistics. No torch, no I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from omnifuse.config import Config
from omnifuse.errors import ConfigError, InputError


@dataclass(frozen=True, kw_only=True)
class Modality(Config):
    """One product as stored.

    Attributes:
        name: Short name used as a key everywhere (`s2`, `s1_asc`, `spot`).
        title: Name for people, as in a legend.
        bands: Band names in stored order.
        gsd: Metres per pixel. For a per-place series (1×1 pixel) the nominal cell of the source.
        units: One unit per band, of the values as stored.
        mean: Mean per band of the values as stored; the encoder subtracts it.
        std: Standard deviation per band of the values as stored; the encoder divides by it.
        wavelengths: Central wavelength per band in nanometres; 0 where the notion does not apply.
        series: Whether a place has many dates (else a single image).
        per_place: Whether the sensor has one pixel for the whole place, whatever the place's size.
        context: Metres of surroundings delivered on each side of the place.
        rgb: Indices of the bands that make a picture (one index: grey).
    """

    name: str
    title: str
    bands: tuple[str, ...]
    gsd: float
    units: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    wavelengths: tuple[float, ...] = field(default=())
    series: bool = True
    per_place: bool = False
    context: float = 0.0
    rgb: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if not self.wavelengths:
            object.__setattr__(self, "wavelengths", (0.0,) * len(self.bands))
        for name in ("units", "mean", "std", "wavelengths"):
            found = len(getattr(self, name))
            if found != len(self.bands):
                raise ConfigError(f"modality {self.name!r}: {found} values in `{name}` for {len(self.bands)} bands.")
        if min(self.std) <= 0:
            raise ConfigError(f"modality {self.name!r}: `std` must be positive, found {self.std}.")

    def pixels(self, size: float) -> int:
        """Return the pixels along one side of a place of `size` metres, context included."""
        if self.per_place:
            return 1
        exact = (size + 2 * self.context) / self.gsd
        if abs(exact - round(exact)) > 1e-3:
            raise InputError(
                f"modality {self.name!r}: a place of {size:g} m is {exact:g} pixels of {self.gsd:g} m, not a whole number. "
                f"Try: a place size that is a multiple of {self.gsd:g} m."
            )
        return round(exact)


_S2_BANDS = ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")
_S1 = Modality(
    name="s1_asc",
    title="Sentinel-1 ascending",
    bands=("VV", "VH", "VV-VH"),
    gsd=10.0,
    units=("dB", "dB", "dB"),
    mean=(-10.92, -17.34, 6.42),
    std=(3.27, 3.20, 3.37),
    wavelengths=(5.55e7, 5.55e7, 5.55e7),
    rgb=(0, 1, 2),
)

# Statistics: PASTIS training folds 1-3 for s2 (arXiv:2301.04944), PASTIS-R for s1, FLAIR#1 for aerial, FLAIR-HUB for dem.
# spot has no published figures: mid-range values, to be replaced by those of the store that is trained on.
_CATALOGUE = (
    Modality(
        name="s2",
        title="Sentinel-2 L2A",
        bands=_S2_BANDS,
        gsd=10.0,
        units=("reflectance*10000",) * 10,
        mean=(1165.94, 1375.65, 1429.22, 1764.80, 2719.27, 3063.61, 3205.90, 3319.11, 2422.90, 1639.37),
        std=(1942.6, 1881.9, 1959.4, 1867.2, 1754.6, 1769.4, 1784.9, 1767.7, 1459.0, 1299.3),
        wavelengths=(492.4, 559.8, 664.6, 704.1, 740.5, 782.8, 832.8, 864.7, 1613.7, 2202.4),
        rgb=(2, 1, 0),
    ),
    _S1,
    replace(
        _S1,
        name="s1_desc",
        title="Sentinel-1 descending",
        mean=(-11.07, -17.45, 6.38),
        std=(3.34, 3.16, 3.37),
    ),
    Modality(
        name="spot",
        title="SPOT 6/7",
        bands=("R", "G", "B"),
        gsd=1.0,
        units=("8-bit",) * 3,
        mean=(110.0, 110.0, 100.0),
        std=(50.0, 45.0, 45.0),
        wavelengths=(660.0, 560.0, 485.0),
        series=False,
        rgb=(0, 1, 2),
    ),
    Modality(
        name="aerial",
        title="Aerial RGBI + height",
        bands=("R", "G", "B", "NIR", "height"),
        gsd=0.2,
        units=("8-bit",) * 4 + ("0.2 m",),
        mean=(105.08, 110.87, 101.82, 106.38, 53.26),
        std=(52.17, 45.38, 44.0, 39.69, 79.3),
        wavelengths=(660.0, 560.0, 485.0, 830.0, 0.0),
        series=False,
        rgb=(0, 1, 2),
    ),
    Modality(
        name="dem",
        title="Elevation",
        bands=("elevation",),
        gsd=10.0,
        units=("m",),
        mean=(311.06,),
        std=(537.55,),
        series=False,
    ),
    Modality(
        name="climate",
        title="Monthly climate",
        bands=("temperature", "amplitude", "elevation", "rain"),
        gsd=9000.0,
        units=("degC", "degC", "m", "mm/year"),
        mean=(11.3, 7.8, 210.0, 800.0),
        std=(6.5, 1.2, 150.0, 250.0),
        per_place=True,
    ),
    Modality(
        name="landcover",
        title="Land cover (prior)",
        bands=("arable", "grassland", "permanent crops", "trees", "shrub", "built", "water"),
        gsd=80.0,
        units=("0 or 1",) * 7,
        mean=(1 / 7,) * 7,
        std=(0.35,) * 7,
        series=False,
    ),
)

MODALITIES: dict[str, Modality] = {modality.name: modality for modality in _CATALOGUE}


def check_names(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Raise `InputError` for a name in `names` that is not among `known`, naming the nearest one."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"`{near[0]}`" if near else "one of " + ", ".join(f"`{k}`" for k in known)
            raise InputError(f"{where}: unknown modality {name!r}; known are {', '.join(known)}. Try: {hint}.")
