import numpy as np
import pytest
import torch
from fake_source import MODALITIES, FakeSource

from omnifuse.data.transforms import compose, crop, crop_at, symmetry, turned
from omnifuse.errors import InputError
from omnifuse.frames import Batch, Frames
from omnifuse.modalities import Modality

SIZE = 80.0


def on_the_ground(name: str, side: int, row: float, column: float) -> tuple[int, int]:
    """Pixel of a sensor that covers the ground point (row, column), in metres from the upper left corner of the place."""
    modality = MODALITIES[name]
    return int((row + modality.context) / modality.gsd), int((column + modality.context) / modality.gsd)


def marked(row: float, column: float) -> Batch:
    """A batch of one whose sensors and labels are zero but for the pixel that covers one point of the ground."""
    frames = {}
    for name, modality in MODALITIES.items():
        side = modality.pixels(SIZE)
        pixels = torch.zeros(2, len(modality.bands), side, side, dtype=torch.uint8)
        if not modality.per_place:
            r, c = on_the_ground(name, side, row, column)
            pixels[..., r, c] = 1
        frames[name] = Frames(pixels, torch.zeros(2, dtype=torch.int32), torch.tensor([2]))
    target = torch.zeros(1, 16, 16, dtype=torch.uint8)
    target[0, int(row / 5), int(column / 5)] = 1
    return Batch(frames, SIZE, torch.tensor([0]), torch.tensor([0]), target)


def found(batch: Batch) -> set[tuple[float, float]]:
    """Ground position of the mark in every sensor and the labels, rounded down to 10 m."""
    positions = set()
    for name, frames in batch.frames.items():
        modality = MODALITIES[name]
        if modality.per_place:
            continue
        for image in frames.pixels.flatten(0, 1):
            row, column = (int(i) for i in image.nonzero()[0])
            positions.add(tuple(int((i * modality.gsd - modality.context) // 10) * 10 for i in (row, column)))
    row, column = (int(i) for i in batch.target[0].nonzero()[0])
    gsd = batch.size / batch.target.shape[-1]
    positions.add((int(row * gsd // 10) * 10, int(column * gsd // 10) * 10))
    return positions


@pytest.mark.parametrize("which", range(8))
def test_a_symmetry_moves_every_sensor_and_the_labels_alike(which):
    assert len(found(turned(marked(3.0, 21.0), which))) == 1


def test_there_are_eight_symmetries_and_all_are_drawn():
    assert len({next(iter(found(turned(marked(3.0, 21.0), which)))) for which in range(8)}) == 8
    draws = [found(symmetry(marked(3.0, 21.0), torch.Generator().manual_seed(seed))).pop() for seed in range(100)]
    assert len(set(draws)) == 8


def test_a_quarter_turn_is_numpys():
    image = torch.arange(9).reshape(1, 1, 3, 3).to(torch.uint16)
    batch = Batch({"a": Frames(image, torch.tensor([0]), torch.tensor([1]))}, 30.0, torch.tensor([0]), torch.tensor([0]))
    assert np.array_equal(turned(batch, 1).frames["a"].pixels[0, 0], np.rot90(np.arange(9).reshape(3, 3)))
    assert np.array_equal(turned(batch, 4).frames["a"].pixels[0, 0], np.arange(9).reshape(3, 3)[:, ::-1])


@pytest.mark.parametrize(("top", "left"), [(0.0, 0.0), (10.0, 40.0), (40.0, 20.0)])
def test_a_crop_is_the_same_ground_for_every_sensor(top, left):
    batch = crop_at(marked(top + 12.0, left + 31.0), top, left, 40.0, MODALITIES)
    assert found(batch) == {(10, 30)}
    assert batch.size == 40.0
    assert {name: frames.pixels.shape[-1] for name, frames in batch.frames.items()} == {
        "optical": 4,
        "radar": 8,
        "fine": 16,
        "weather": 1,
    }
    assert batch.target.shape == (1, 8, 8)


def test_random_crops_reach_every_corner_and_stay_aligned():
    corners = set()
    for seed in range(200):
        mark = crop(40.0, MODALITIES)(marked(35.0, 35.0), torch.Generator().manual_seed(seed))
        if mark.target.any():  # else the marked point lies outside the crop
            assert len(found(mark)) == 1
            corners.update(found(mark))
    assert {row for row, _ in corners} == {column for _, column in corners} == {0, 10, 20, 30}
    last = marked(75.0, 75.0)
    assert any(crop(40.0, MODALITIES)(last, torch.Generator().manual_seed(seed)).target.any() for seed in range(200))


def test_a_crop_starts_only_where_pixels_of_all_sensors_start():
    coarse = {
        name: Modality(name=name, title=name, bands=("b",), gsd=gsd, units=("1",), mean=(0.0,), std=(1.0,))
        for name, gsd in (("a", 20.0), ("b", 30.0))
    }
    frames = {
        name: Frames(torch.arange(240 // int(m.gsd)).expand(1, 1, 240 // int(m.gsd), -1), torch.tensor([0]), torch.tensor([1]))
        for name, m in coarse.items()
    }
    batch = Batch(frames, 240.0, torch.tensor([0]), torch.tensor([0]))
    for seed in range(20):
        cut = crop(120.0, coarse)(batch, torch.Generator().manual_seed(seed))
        assert cut.frames["a"].pixels[0, 0, 0, 0] * 20 == cut.frames["b"].pixels[0, 0, 0, 0] * 30
    with pytest.raises(InputError, match="multiple of 60 m"):
        crop(100.0, coarse)(batch, torch.Generator())
    with pytest.raises(InputError, match="does not fit"):
        crop(480.0, coarse)(batch, torch.Generator())


def test_labels_of_a_whole_place_are_left_alone():
    batch = FakeSource()[0].to_batch()
    row = Batch(batch.frames, batch.size, batch.place, batch.draw, torch.tensor([[1.0, 0.0]]))
    out = compose(crop(40.0, MODALITIES), symmetry)(row, torch.Generator())
    assert torch.equal(out.target, row.target)


def test_a_crop_that_is_turned_is_the_same_ground_for_every_sensor_and_the_labels():
    seen = set()
    for seed in range(60):
        batch = compose(crop(40.0, MODALITIES), symmetry)(marked(35.0, 25.0), torch.Generator().manual_seed(seed))
        if batch.target.any():  # else the marked point lies outside the crop
            ground = found(batch)
            assert len(ground) == 1
            seen |= ground
    assert len(seen) > 8
