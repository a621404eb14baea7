"""`omnifuse embed MODEL STORE`: a vector of every place as GeoParquet, with a picture and a STAC item."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from omnifuse.config import Config
from omnifuse.data.place import PlaceSource
from omnifuse.data.subset import Subset, split_by_text
from omnifuse.errors import ConfigError
from omnifuse.inference.embed_places import EmbeddedPlaces, PlacesOptions, embed_places
from omnifuse.inference.embedding_reader import open_table
from omnifuse.inference.pca_picture import colors_of, draw_places
from omnifuse.inference.stac import Made, stac_item_for_embeddings, write_item
from omnifuse.runs.opening import Found
from omnifuse.runs.places import fingerprint
from omnifuse.runs.stages import console, progress_bar

TABLES = (".parquet", ".geoparquet")
_MOST = 50_000  # places that are drawn, evenly over a table that has more


@dataclass(frozen=True, kw_only=True)
class EmbedCommand(Config):
    """Write a vector for every place.

    Attributes:
        out: GeoParquet file to write; its picture (`.png`) and its STAC item (`.stac.json`) lie beside it.
        sensors: Sensors to use; all that the model reads without.
        split: Metadata that tells the places apart, such as fold; all places without it.
        values: Values whose places are embedded, such as 1 2 3.
        dtype: Of the stored numbers; int8 with a step per dimension takes a quarter of the room.
        normalize: Whether vectors get length 1; what is searched by cosine does not need it.
        season_start: Day of your season that corresponds to the model's origin, such as 2022-09-01.
        batch_size: Places that go through the model together.
        device: cpu, cuda, or auto for a GPU where there is one.
        threads: Threads of each process, for arithmetic that rounds alike in all of them; rather take more processes.
        executor: local, processes=N, dask=ADDRESS, ranks or slurm=N.
        picture: Whether to draw the places, colored by the three main directions of their vectors.
        overwrite: Whether to begin anew where an output is there already.
        kind: What the places are, such as pastis-hd; told from the layout where it is not given.
    """

    out: str = "embeddings.parquet"
    sensors: tuple[str, ...] = ()
    split: str = ""
    values: tuple[str, ...] = ()
    dtype: Literal["float32", "float16", "int8"] = "float32"
    normalize: bool = False
    season_start: str = ""
    batch_size: int = 8
    device: str = "auto"
    threads: int = 1
    executor: str = "local"
    picture: bool = True
    overwrite: bool = False
    kind: str = ""


def embed(model: str, found: Found, command: EmbedCommand) -> None:
    """Embed the places that lie somewhere into a table."""
    out = Path(command.out)
    if out.suffix not in TABLES:
        raise ConfigError(f"{out}: vectors of places are a table. Try: --out {out.with_suffix('.parquet')}.")
    if bool(command.split) != bool(command.values):
        raise ConfigError("embed: `--split` and `--values` belong together. Try: --split fold --values 5.")
    console.print(str(found), markup=False)
    source: PlaceSource = found.open()
    if command.split:
        source = Subset(source, split_by_text(source.info, command.split, command.values))
    options = PlacesOptions(**{one.name: getattr(command, one.name) for one in fields(PlacesOptions)})
    with progress_bar("embed") as progress:
        table = embed_places(
            model,
            source,
            out,
            options,
            identity=fingerprint(source, "id"),
            sensors=command.sensors,
            executor=command.executor,
            overwrite=command.overwrite,
            progress=progress,
        )
    if table is not None:
        describe(table, model, (found.path,), command.picture)


def describe(table: EmbeddedPlaces, model: str, sources: tuple[str, ...], picture: bool) -> None:
    """Draw a table's places, write its STAC item, and say what there is."""
    written = table.written
    what = (
        f"{written.rows} places, {written.vectors.dimensions} numbers each ({written.vectors.dtype}), from {', '.join(table.about.sensors)}"
    )
    console.print(f"{table.path}: {what}", markup=False)
    if written.missing:
        console.print(f"left out: {written.missing} places without an image of these sensors", markup=False)
    if written.nowhere:
        console.print(f"without a geometry: {written.nowhere} places of which the source does not say where they lie", markup=False)
    drawn = table.path.with_name(f"{table.path.name}.png") if picture and written.outline else None
    if drawn is not None:
        draw_table(table.path, drawn)
        console.print(f"{drawn}: the places, colored by the three main directions of their vectors", markup=False)
    if written.outline is None or written.first is None or written.last is None:
        lacking = "date" if written.outline else "place on the globe"
        console.print(f"no STAC item: it needs a {lacking}", markup=False)
        return
    about = table.about
    options = about.options or {}
    made = Made(model, about.sha256, about.sensors, written.first, written.last, sources, options)
    item = stac_item_for_embeddings(table.path, written.outline, made, written.vectors, picture=drawn)
    console.print(f"{write_item(table.path, item)}: STAC item", markup=False)


def draw_table(path: Path, out: Path) -> None:
    """Draw the places of a table where they lie, in colors that are alike where vectors are."""
    table = open_table(path)
    step = -(-table.rows // _MOST)
    vectors, boxes = [], []
    for start, values, piece in table.pieces(columns=["bbox"]):
        kept = slice(-start % step, None, step)
        vectors.append(values[kept])
        boxes += piece.column("bbox").to_pylist()[kept]
    painted = colors_of(np.concatenate(vectors)).paint(np.concatenate(vectors)).tolist()
    shown = [(box, tuple(color)) for box, color in zip(boxes, painted, strict=True) if box and box["xmin"] <= box["xmax"]]
    around = {edge: pick(box[edge] for box, _ in shown) for edge, pick in (("xmin", min), ("ymin", min), ("xmax", max), ("ymax", max))}
    draw_places([([_ring(box)], color) for box, color in shown], [_ring(around)]).save(out)


def _ring(box: dict[str, float]) -> list[tuple[float, float]]:
    west, south, east, north = (box[edge] for edge in ("xmin", "ymin", "xmax", "ymax"))
    return [(west, north), (west, south), (east, south), (east, north), (west, north)]
