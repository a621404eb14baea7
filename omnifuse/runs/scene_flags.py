"""Rasters of an area on the command line: `--s2 'folder/*.tif' --s1 ... --s2.units reflectance`, a flag for every sensor of a model."""

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeVar

import tyro

from omnifuse.config import Config
from omnifuse.data.place import is_date
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.area import AreaOptions
from omnifuse.inference.folder import ModelFolder, origins
from omnifuse.inference.inputs import check_days, seasons
from omnifuse.inference.scene_rasters import RasterScene, open_scene
from omnifuse.modalities import MODALITIES, Modality

_EPOCH = date(1970, 1, 1)
_SAID = {
    "days": (tuple[str, ...], "date of each file (or of each image stacked in one), such as 2021-06-30, where names and tags do not tell"),
    "bands": (tuple[str, ...], "names of the bands in the order of the files"),
    "units": (str, "unit of the stored numbers: reflectance, reflectance*10000, dB, linear, ..."),
    "offset": (str, "added to the stored numbers: -1000, or 'baseline 04.00' for Sentinel-2 of that processing baseline"),
    "nodata": (str, "stored number that means no data, where the files do not declare it"),
}
_SENSOR = re.compile(rf"--(\w[\w-]*)((?:\.(?:{'|'.join(_SAID)}))?(?:=.*)?)", re.DOTALL)
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class SceneFlags:
    """What the command line says of the rasters.

    Attributes:
        paths: Files by sensor.
        said: What is said of them, by argument of `open_scene` and sensor.
        bounds: West, south, east and north edge in metres of the map's system; None for all ground of all files.
        crs: Reference system of the map; empty for that of the first file, or its UTM zone.
    """

    paths: dict[str, tuple[str, ...]]
    said: dict[str, dict[str, Any]]
    bounds: tuple[float, float, float, float] | None
    crs: str

    def open(self, content: ModelFolder, gsd: float, season_start: str = "") -> RasterScene:
        """Open the rasters as a scene on cells of `gsd` metres, for the model of a folder.

        Raises:
            InputError: naming the file and what is wrong.
        """
        sensors = content.architecture.sensors
        paths = {name: list(found) if len(found) > 1 else found[0] for name, found in self.paths.items()}
        said: dict[str, Any] = {argument: by_sensor or None for argument, by_sensor in self.said.items()}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", UserWarning)
            try:
                known = seasons(sensors, season_start or None)
                scene = open_scene(sensors.modalities, paths, gsd=gsd, seasons=known, bounds=self.bounds, crs=self.crs, **said)
                days = {name: [image.day for image in sensor.images] for name, sensor in scene.sensors.items()}
                check_days(days, origins(sensors), season_start or None)  # before there is a work folder
            except InputError as error:
                raise InputError(as_flags(str(error))) from None
        for one in told:
            print(f"warning: {as_flags(str(one.message))}", file=sys.stderr)
        return scene


def scene_command(
    command: type[C], modalities: Mapping[str, Modality], flags: Sequence[str], prog: str, unless: Sequence[str] = ()
) -> tuple[C, SceneFlags]:
    """Return the command and the rasters that flags ask for.

    Args:
        command: Frozen configuration whose fields are the other flags.
        modalities: What the model reads: `--<name>` and `--<name>.units` ... for each; the start of a name will do.
        flags: As they stand on the command line.
        prog: How the command is called.
        unless: Flags with which no rasters need be given.

    Raises:
        ConfigError: for the start of several sensors' names.
        InputError: where no sensor is given.
    """
    own: Any = fields(command)  # type: ignore[arg-type]  # every configuration is a dataclass
    rows: list[Any] = []
    for name, modality in modalities.items():
        told = f"rasters of {modality.title} ({', '.join(modality.bands)}): files or patterns such as 'folder/*.tif'"
        rows.append((_key(name), _flag(tuple[str, ...], name, told), field(default=())))
        for what, (kind, meaning) in _SAID.items():
            default: Any = "" if kind is str else ()
            rows.append((_key(name, what), _flag(kind, f"{name}.{what}", f"of {name}: {meaning}"), field(default=default)))
    bounds = _flag(tuple[float, float, float, float] | None, "bounds", "west, south, east and north edge in metres of the map's system")
    rows += [("bounds", bounds, field(default=None))]
    rows += [("crs", _flag(str, "crs", "reference system of the map, such as EPSG:32631; that of the first file"), field(default=""))]
    rows += sorted(((one.name, one.type, one) for one in own), key=lambda row: row[0] not in command.__annotations__)  # inherited: last
    flat = make_dataclass("Flags", rows, namespace={"__doc__": command.__doc__}, kw_only=True, frozen=True)
    given: Any = tyro.cli(flat, args=whole_names(flags, list(modalities), [*(one.name for one in own), "bounds", "crs"]), prog=prog)
    paths = {name: getattr(given, _key(name)) for name in modalities if getattr(given, _key(name))}
    if not paths and not any(getattr(given, name) for name in unless):
        raise InputError(f"{prog}: no rasters. Try: --{next(iter(modalities))} 'folder/*.tif'; sensors are {', '.join(modalities)}.")
    said = {
        what: {name: _meant(what, value) for name in modalities if (value := getattr(given, _key(name, what)))} for what in _SAID
    }  # what is said of sensors without rasters is refused by `open_scene`
    return command(**{one.name: getattr(given, one.name) for one in own}), SceneFlags(paths, said, given.bounds, given.crs)


def area_of(scene: RasterScene) -> str:
    """Return in a line which sensors see how much ground."""
    grid = scene.grid
    square = grid.height * grid.width * grid.gsd**2 / 1e6
    return f"{', '.join(scene.modalities)}: {grid.width} × {grid.height} cells of {grid.gsd:g} m, {square:,.3g} km² ({grid.crs})"


def area_options(command: AreaOptions) -> AreaOptions:
    """Return how an area is done, without what else a command says."""
    return AreaOptions(**{one.name: getattr(command, one.name) for one in fields(AreaOptions)})


def dates_of(scene: RasterScene) -> tuple[date, date] | None:
    """Return the first and the last date of a scene's images; None where none has one."""
    days = [image.day for sensor in scene.sensors.values() for image in sensor.images if is_date(image.day)]
    if not days:
        return None
    return _EPOCH + timedelta(days=min(days)), _EPOCH + timedelta(days=max(days))


def as_flags(message: str) -> str:
    """Return a message whose remedies are arguments of Python with flags in their place: `--s2.units dB` for `units={'s2': 'dB'}`."""

    def flag(match: re.Match[str]) -> str:
        return f"--{match[2]}.{match[1]} {match[3].strip('[]').replace(',', '')}"

    message = re.sub(r"\bseason_start='([^']*)'", r"--season_start \1", message)
    message = re.sub(rf"\b({'|'.join(_SAID)})=\{{'(\w+)': ([^}}]*)\}}", flag, message)
    return re.sub(r"\b(bounds|crs|season_start)=(?!=) ?", r"--\1 ", message)


def whole_names(flags: Sequence[str], sensors: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """Return flags with whole names of sensors in place of what they start with: `--s1` is `--s1_asc` where no other starts so.

    Args:
        flags: As they stand on the command line.
        sensors: Names of sensors.
        others: Flags that are no sensor's.

    Raises:
        ConfigError: for the start of several names.
    """
    return [_whole(flag, sensors, others) for flag in flags]


def _whole(flag: str, sensors: Sequence[str], others: Sequence[str]) -> str:
    match = _SENSOR.fullmatch(flag)
    start = match[1].replace("-", "_") if match else ""
    if match is None or start in (*sensors, *others):
        return flag
    found = [name for name in sensors if name.startswith(start)]
    if len(found) > 1:
        raise ConfigError(f"--{start}: may mean {', '.join(found)}. Try: --{found[0]}.")
    another = any(name.startswith(start) for name in MODALITIES) and not any(name.startswith(start) for name in others)
    if not found and start and another:
        raise ConfigError(f"--{start}: not a sensor of this model, which reads {', '.join(sensors)}. Try: leave it out, or another model.")
    return f"--{found[0]}{match[2]}" if found else flag


def _flag(kind: Any, name: str, told: str) -> Any:
    return Annotated[kind, tyro.conf.arg(name=name, help=told)]


def _key(name: str, what: Literal["", "days", "bands", "units", "offset", "nodata"] | str = "") -> str:
    return f"sensor_{name}_{what}" if what else f"sensor_{name}"


def _meant(what: str, value: Any) -> Any:
    """Return an offset or a no-data number as a number where it is one, and days as a list."""
    if what == "days":
        return list(value)
    if what not in ("offset", "nodata"):
        return value
    try:
        return float(value)
    except ValueError:
        return value
