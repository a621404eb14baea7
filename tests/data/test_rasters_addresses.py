import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters
from omnifuse.errors import InputError

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake
import rasterio


class _Ranges(SimpleHTTPRequestHandler):
    """Serves a folder, parts of files included, and keeps quiet."""

    def log_message(self, *args: object) -> None: ...

    def do_GET(self) -> None:
        content = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        asked = self.headers.get("Range")
        start, stop = (
            (int(x) if x else len(content) - 1 for x in asked.removeprefix("bytes=").split("-")) if asked else (0, len(content) - 1)
        )
        part = content[start : stop + 1]
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(part)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{start + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)


def test_rasters_are_read_over_the_network(table):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(table.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        local = Rasters(table)[0].series["s2"].pixels
        with rasterio.open(table.parent / "field.0" / "s2_1.tif") as image:
            values, profile = image.read(), image.profile
        fake.write_tif(
            table.parent / "cog.tif", values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, driver="COG", nodata=profile["nodata"]
        )
        remote = Rasters(fake.changed(table, 1, path=f"{address}/cog.tif"))
        assert np.array_equal(remote[0].series["s2"].pixels, local)
        with pytest.raises(InputError, match=rf"row 3: {address}/none\.tif: "):
            Rasters(fake.changed(table, 1, path=f"{address}/none.tif"))
    finally:
        server.shutdown()
        server.server_close()


def test_rasters_are_read_through_fsspec(table):
    fsspec = pytest.importorskip("fsspec", reason="other addresses are read with fsspec")
    local = Rasters(table)[0].series["s2"].pixels
    fsspec.filesystem("memory").pipe("/s2.tif", (table.parent / "field.0" / "s2_0.tif").read_bytes())
    assert np.array_equal(Rasters(fake.changed(table, 0, path="memory://s2.tif"))[0].series["s2"].pixels, local)


def test_a_zarr_array_is_a_raster(table):
    pytest.importorskip("rioxarray", reason="the reference system of a Zarr array is read with rioxarray")
    import rioxarray  # noqa: F401 (adds `.rio`)
    import xarray

    values = fake.drone(fake.LEFT - 10, fake.TOP + 10, 104)
    centres = 2.5 * np.arange(104) + 1.25 - 10
    array = xarray.DataArray(values, dims=("band", "y", "x"), coords={"y": fake.TOP - centres, "x": fake.LEFT + centres}, name="colors")
    array.rio.write_crs(fake.CRS).to_dataset().to_zarr(table.parent / "drone.zarr", zarr_format=3, consolidated=False)
    expected = Rasters(table)[0].series["drone"].pixels
    for path in ("drone.zarr", "drone.zarr#colors"):
        source = Rasters(fake.changed(table, 4, path=path, bands="red green nir", band=""))
        assert np.array_equal(source[0].series["drone"].pixels, expected)
    with pytest.raises(InputError, match="arrays colors"):
        Rasters(fake.changed(table, 4, path="drone.zarr#depth"))
