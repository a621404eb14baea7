"""Places and where they come from. What needs matplotlib, xarray or zarr is imported when it is asked for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnifuse.data.pictures.showing import show

__all__ = ["show"]


def __getattr__(name: str) -> Any:
    if name == "show":
        from omnifuse.data.pictures.showing import show

        return show
    raise AttributeError(f"module 'omnifuse.data' has no attribute {name!r}")
