"""Made-up folders of two layouts, which several files of tests read."""

from dataclasses import replace
from pathlib import Path

import pytest


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The table of a user's folder of rasters."""
    import fake_rasters  # needs rasterio, which the tests of other layouts do not

    return fake_rasters.write_rasters(tmp_path)


@pytest.fixture(scope="session")
def pastis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published layout of PASTIS-HD with all quirks; tests do not change it."""
    from fake_pastis import write_fake_pastis

    return write_fake_pastis(tmp_path_factory.mktemp("pastis"))


@pytest.fixture
def small_pastis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small copy without images that a test may break. Its patches are 160 m wide; the published side is a constant."""
    from fake_pastis import write_fake_pastis

    from omnifuse.data.sources import pastis_layout

    monkeypatch.setattr(pastis_layout, "PUBLISHED", replace(pastis_layout.PUBLISHED, size=160.0))
    return write_fake_pastis(tmp_path / "PASTIS", encoding="dict", spot=False, side=16)
