import pickle
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnifuse.data.sources.ombria import Ombria, balanced_folds
from omnifuse.errors import ConfigError, InputError

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata" / "ombria"
real = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real images are not at {FOLDER}")


@pytest.fixture
def folder(tmp_path) -> Path:
    """The published layout with five patches of made-up values in three scenes."""
    rng = np.random.default_rng(0)
    for number, split in enumerate(("train", "train", "train", "test", "test"), 1):
        for sensor, channels in (("S1", ()), ("S2", (3,))):
            for when in ("before", "after", *(("mask",) if sensor == "S1" else ())):
                file = tmp_path / f"Ombria{sensor}" / split / when.upper() / f"{sensor}_{when}_{number:04d}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                values = rng.integers(0, 256, (256, 256, *channels), dtype=np.uint8)
                Image.fromarray(values if when != "mask" else (values > 200).astype(np.uint8) * 255).save(file)
    groups = "patch_id,upstream_split,mosaic_component,scene_group\n" + "".join(f"{i:04d},x,0,{i // 2}\n" for i in range(1, 6))
    (tmp_path / "scene_groups.csv").write_text(groups, encoding="utf-8")
    return tmp_path


def test_a_place_is_what_the_files_hold(folder):
    place = Ombria(folder)[3]
    place.check(Ombria(folder).modalities, "test")
    assert place.info["id"] == "0004"
    assert place.info["split"] == "test"
    for name in ("s1", "s2"):
        for frame, when in enumerate(("before", "after")):
            upper = name.upper()
            expected = np.asarray(Image.open(folder / f"Ombria{upper}" / "test" / when.upper() / f"{upper}_{when}_0004.png"))
            assert np.array_equal(np.moveaxis(place.series[name].pixels[frame], 0, -1).squeeze(), expected)
    mask = np.asarray(Image.open(folder / "OmbriaS1" / "test" / "MASK" / "S1_mask_0004.png"))
    assert np.array_equal(place.target * 255, mask)
    assert place.size == 2560.0


def test_tiles_put_together_are_the_patch_and_keep_its_group(folder):
    patches, tiles = Ombria(folder), Ombria(folder, tile=64)
    assert len(tiles) == 16 * len(patches) == 80
    assert tiles.size == 640.0
    places = [tiles[i] for i in range(16, 32)]
    for name in ("s1", "s2"):
        rows = [np.concatenate([place.series[name].pixels for place in places[row : row + 4]], -1) for row in (0, 4, 8, 12)]
        assert np.array_equal(np.concatenate(rows, -2), patches[1].series[name].pixels)
    rows = [np.concatenate([place.target for place in places[row : row + 4]], -1) for row in (0, 4, 8, 12)]
    assert np.array_equal(np.concatenate(rows), patches[1].target)
    for info in tiles.info:
        whole = next(row for row in patches.info if row["patch"] == info["patch"])
        assert (info["scene_group"], info["fold"], info["split"]) == (whole["scene_group"], whole["fold"], whole["split"])
    assert len({info["id"] for info in tiles.info}) == 80


def test_folds_are_balanced_and_never_divide_a_group():
    groups = [group for group, size in enumerate((36, 35, 31, 23, 15, 14, 13, 11, 8, 8, 7, 7, 5, 5, 4, 4)) for _ in range(size)]
    folds = balanced_folds(groups, 5)
    sizes = np.bincount([folds[group] for group in groups])[1:]
    assert sizes.sum() == len(groups)
    assert sizes.max() - sizes.min() <= 4
    assert balanced_folds(reversed(groups), 5) == folds


def test_what_is_missing_or_damaged_is_named(folder, tmp_path):
    with pytest.raises(ConfigError, match="60 pixels"):
        Ombria(folder, tile=60)
    with pytest.raises(InputError, match="no images"):
        Ombria(folder / "OmbriaS1")
    source = Ombria(folder)
    file = folder / "OmbriaS2" / "train" / "AFTER" / "S2_after_0002.png"
    held = file.read_bytes()
    file.write_bytes(held[:5000])
    with pytest.raises(InputError, match=str(file)):
        source[1]
    Image.new("L", (256, 256)).save(file)
    with pytest.raises(InputError, match=rf"{file}: L of \(256, 256\), expected RGB"):
        source[1]
    file.unlink()
    with pytest.raises(InputError, match=str(file)):
        source[1]
    (folder / "scene_groups.csv").write_text("patch_id,scene_group\n0001,0\n", encoding="utf-8")
    with pytest.raises(InputError, match="no scene group for patches"):
        Ombria(folder)
    shutil.move(folder / "scene_groups.csv", folder / "moved.csv")
    with pytest.raises(InputError, match=r"scene_groups\.csv: no such file"):
        Ombria(folder)


@real
def test_the_real_patches_are_read_and_their_groups_kept_apart():
    source = pickle.loads(pickle.dumps(Ombria(FOLDER)))  # noqa: S301 our own bytes
    assert len(source) == 226
    folds = defaultdict(set)
    for info in source.info:
        folds[info["scene_group"]].add(info["fold"])
    assert all(len(fold) == 1 for fold in folds.values())
    assert set.union(*folds.values()) == {1, 2, 3, 4, 5}
    assert sum(info["split"] == "train" for info in source.info) == 156
    for index in (0, 100, 225):
        source[index].check(source.modalities, "real")
        assert set(np.unique(source[index].target)) <= {0, 1}


@real
def test_radar_darkens_where_the_mask_says_flood():
    """Open water is smooth: were images and masks misaligned, the flooded and the dry pixels would change alike."""
    source = Ombria(FOLDER)
    change = {0: [], 1: []}
    for index in range(0, 226, 9):
        place = source[index]
        before, after = place.series["s1"].pixels[:, 0].astype(float)
        for label, values in change.items():
            values.append((after - before)[place.target == label])
    flooded, dry = (np.concatenate(change[label]).mean() for label in (1, 0))
    assert flooded < dry - 10
