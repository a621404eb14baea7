"""A page of pictures of one place, to see with one's own eyes what the models see."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, Num, UInt8

from omnifuse.data.landscape import climate, optical, radar
from omnifuse.data.landscape.covers import CLASSES, COVERS, LABEL
from omnifuse.data.landscape.source import Landscape
from omnifuse.data.place import Series
from omnifuse.randomness import numpy_generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEASONS = (110, 165, 225, 320)  # Days of year, the last of the year before: spring, early and late summer, autumn.
ZOOMS = ("grapevine", "orchard", "meadow", "road", "built", "winter wheat", "alfalfa", "forest", "corn", "hedge")  # The first five there.
ZOOM_METERS = 160.0


def preview(source: Landscape, index: int) -> "Figure":
    """Draw a place: true color on four dates, radar, high resolution with details, labels, and the year of its crops.

    The source must render `s2`, `s1_asc` and `spot`.
    """
    from matplotlib.figure import Figure

    place = source[index]
    parcels = source.parcels(index)
    figure = Figure(figsize=(20, 17.5), layout="constrained")
    axes = figure.subplots(4, 4)
    s2, s1, spot = (place.series[name] for name in ("s2", "s1_asc", "spot"))
    for axis, frame in zip(axes[0], clear_frames(s2), strict=True):
        show(axis, true_color(s2.pixels[frame]), f"Sentinel-2, {np.datetime64(int(s2.day[frame]), 'D')}")
    cloudy = int((s2.pixels[:, 0] > 2000).std((1, 2)).argmax())  # half covered
    show(axes[1, 0], true_color(s2.pixels[cloudy]), f"Sentinel-2 with clouds, {np.datetime64(int(s2.day[cloudy]), 'D')}")
    frame = len(s1.day) * 2 // 3
    show(axes[1, 1], radar_color(s1.pixels[frame]), f"Sentinel-1, one pass, {np.datetime64(int(s1.day[frame]), 'D')}")
    seasons = [s1.pixels[part, 1].astype(np.float32).mean(0) for part in np.array_split(np.arange(len(s1.day)), 5)[1:4]]
    show(axes[1, 2], np.clip((np.stack(seasons, -1) + 24) / 13, 0, 1), "Sentinel-1 VH, mean of winter, spring, summer")
    labels(axes[1, 3], place.target)
    image = np.moveaxis(spot.pixels[0], 0, -1)
    show(axes[2, 0], image, f"High resolution, {10 / parcels.hr:g} m, {np.datetime64(int(spot.day[0]), 'D')}")
    here = [COVERS[cover].name for cover in parcels.cover[parcels.count.sum(1) > 0]]
    details = [name for name in ZOOMS if name in here]
    for axis, name in zip([*axes[2, 1:], *axes[3, :2]], details, strict=False):
        show(axis, zoom(image, parcels.component, parcels.cover, name, parcels.hr), f"{name}, {ZOOM_METERS:g} m")
    years(axes[3, 2], axes[3, 3], source, index)
    return figure


def clear_frames(series: Series) -> list[int]:
    """Return the clearest frame near each of four seasons."""
    clear = np.quantile(series.pixels[:, 0].astype(np.float32), 0.7, (1, 2))
    day = series.day - climate.DAY0
    wanted = [doy + 121 if doy < 300 else doy - 244 for doy in SEASONS]
    return [int(np.argmin(clear / 60 + np.abs(day - target))) for target in wanted]


def true_color(frame: Int[np.ndarray, "c h w"]) -> Float[np.ndarray, "h w _rgb"]:
    """Stretch red, green and blue for the eye."""
    return np.clip(frame[[2, 1, 0]].transpose(1, 2, 0) / 2600, 0, 1) ** 0.7


def radar_color(frame: Float[np.ndarray, "c h w"]) -> Float[np.ndarray, "h w _rgb"]:
    """Show VV in red, VH in green and their difference in blue."""
    low, high = np.array([-20, -27, 1])[:, None, None], np.array([-3, -10, 13])[:, None, None]
    return np.clip((frame.astype(np.float32) - low) / (high - low), 0, 1).transpose(1, 2, 0)


def show(axis: "Axes", image: Num[np.ndarray, "..."], title: str) -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set_title(title, fontsize=10)
    axis.set_axis_off()


def zoom(
    image: UInt8[np.ndarray, "_hh _hw 3"], component: Int[np.ndarray, "_hh _hw"], cover: Int[np.ndarray, " p"], name: str, hr: int
) -> UInt8[np.ndarray, "_k _l 3"]:
    """Return the window with most of the named cover."""
    side = min(round(ZOOM_METERS * hr / 10), len(image))
    kind = [c.name for c in COVERS].index(name)
    wanted = np.pad((cover[component] == kind).astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = wanted[side:, side:] - wanted[:-side, side:] - wanted[side:, :-side] + wanted[:-side, :-side]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return image[row : row + side, column : column + side]


def labels(axis: "Axes", target: Num[np.ndarray, "..."] | None) -> None:
    """Draw the label map with a legend of the classes in it."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    assert target is not None
    palette = np.array([to_rgb(color) for color in (*CLASSES.colors, "#ffffff")])
    show(axis, palette[target], "Labels")
    handles = [Patch(color=palette[k], label=CLASSES.names[k]) for k in np.unique(target) if k != CLASSES.ignore]
    axis.legend(handles=handles, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)


def years(left: "Axes", right: "Axes", source: Landscape, index: int) -> None:
    """Plot NDVI and VV / VH over the year of one parcel of every crop, without noise, clouds or speckle."""
    config = source.config
    parcels = source.parcels(index)
    state = source.state(index, parcels)
    site = climate.locate(config, index)
    moisture = climate.moisture(numpy_generator(config.seed, "landscape/weather", index), site)
    colors = optical.draw_colors(numpy_generator(config.seed, "landscape/colors", index), len(parcels.cover), site, config.difficulty)
    days = np.arange(0, climate.NUM_DAYS, 3)
    total, _ = optical.reflectance(parcels, state, colors, moisture, days)
    rng = numpy_generator(config.seed, "landscape/s1", index)
    sigma = 10 * np.log10(radar.backscatter(rng, parcels, state, moisture, days, config.difficulty))
    month = days.astype("datetime64[D]") + np.datetime64(climate.DAY0, "D").astype("datetime64[D]").astype(int)
    for crop in range(LABEL.max()):
        fields = np.flatnonzero(parcels.cover == crop)
        if not len(fields):
            continue
        field = fields[parcels.count[fields].sum(1).argmax()]
        name, color = CLASSES.names[crop + 1], CLASSES.colors[crop + 1]
        left.plot(month, (total[:, 6, field] - total[:, 2, field]) / (total[:, 6, field] + total[:, 2, field]), color=color, label=name)
        right.plot(month, sigma[:, 0, field], color=color, label=name)
        right.plot(month, sigma[:, 1, field], color=color, linestyle=":")
    left.set_title("NDVI of one parcel per crop", fontsize=10)
    right.set_title("VV (line) and VH (dotted) in dB", fontsize=10)
    left.legend(fontsize=7)
    for axis in (left, right):
        axis.tick_params(axis="x", labelrotation=45, labelsize=7)
        axis.grid(alpha=0.3)
