"""Packages that only some readers need: said before they are used, with the command that installs them."""

from importlib.util import find_spec

from omnifuse.errors import InputError

_EXTRA = {"aiohttp": "cloud", "fsspec": "cloud", "h5py": "geo", "pyarrow": "geo", "rasterio": "geo", "rioxarray": "geo"}


def check_installed(where: object, *packages: str) -> None:
    """Raise `InputError` naming the first package that is not installed and the extra that brings it; `where` names what needs it."""
    for package in packages:
        if find_spec(package) is None:
            raise InputError(f"{where}: reading it needs the package {package}. Try: pip install 'omnifuse[{_EXTRA[package]}]'.")
