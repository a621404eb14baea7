"""A store as labelled arrays: what xarray reads from it, with names for places and bands and metres for pixels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float

from omnifuse.data.store import Store

if TYPE_CHECKING:
    import xarray


def labelled_tree(store: Store, chunks: Mapping[str, int] | Literal["auto"] | None = None) -> "xarray.DataTree":
    """Return the groups of a store with coordinates: `place` (ids), `band` (names), `y` and `x` (metres from the centre)."""
    import xarray

    tree = xarray.open_datatree(store.files.zarr_store(), engine="zarr", chunks=chunks)
    ids = np.array([str(row["id"]) for row in store.info], dtype=object)
    for name, modality in store.modalities.items():
        group = tree.children[name].to_dataset(inherit=False)
        group = group.assign_coords(time=group.time.load())  # small, and dask would cut it in other pieces than the pixels
        step = store.size if modality.per_place else modality.gsd
        tree[name] = xarray.DataTree(
            group.assign_coords({"place": ids, "band": list(modality.bands), **_metres(modality.pixels(store.size), step)})
        )
    if "target" in tree.children:
        group = tree.children["target"].to_dataset(inherit=False).assign_coords(place=ids)
        if "x" in group.sizes:
            group = group.assign_coords(_metres(group.sizes["x"], store.size / group.sizes["x"]))
        tree["target"] = xarray.DataTree(group)
    rows = tree.children["place"].to_dataset(inherit=False).assign_coords(place=ids)
    text = {name for row in store.info for name in row} - set(rows.data_vars)
    columns = {name: ("place", np.array([row.get(name) for row in store.info], dtype=object)) for name in sorted(text - {"id"})}
    tree["place"] = xarray.DataTree(rows.assign(columns))
    return tree


def _metres(side: int, step: float) -> dict[str, Float[np.ndarray, " n"]]:
    east = (np.arange(side) - (side - 1) / 2) * step
    return {"y": -east, "x": east}
