"""Embeddings of places and cells, and labels of cells."""

from dataclasses import replace

import pytest
import torch
from tiny import CLASSES, places, sensors

from omnifuse.classes import ClassTable
from omnifuse.evals.embeddings import cell_labels, embed_places
from omnifuse.objectives.contrast import Contrast, ContrastConfig


def contrast() -> Contrast:
    torch.manual_seed(0)
    return ContrastConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=6).build(sensors())


def test_rows_are_what_the_contrast_gives_alone_and_in_any_batches():
    objective, batch = contrast(), places()
    seen = embed_places(objective, batch.split(), 3, CLASSES)
    assert objective.training  # as it was
    whole = embed_places(objective, [batch], 3, CLASSES)
    direct = objective.eval().embed(batch)
    for name, (cell, place) in direct.items():
        here = batch.frames[name].present.nonzero()[:, 0]
        assert seen.place_row[name].tolist() == here.tolist()
        torch.testing.assert_close(seen.place[name], place, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(seen.cell[name], whole.cell[name], atol=1e-5, rtol=1e-5)
        rows = seen.cell_row[name]
        assert torch.equal(rows // 2**20, here.repeat_interleave(3))
        first = cell[:, :][torch.arange(len(here)).repeat_interleave(3), rows % 2**20]
        torch.testing.assert_close(seen.cell[name], first, atol=1e-5, rtol=1e-5)
    common = set(seen.cell_row["s2"].tolist()) & set(seen.cell_row["spot"].tolist())
    assert len(common) == 3 * 2  # the same cells for all sensors


def test_features_come_with_the_class_of_their_cell():
    objective, batch = contrast(), places()
    seen = embed_places(objective, [batch], 16, CLASSES)
    label = cell_labels(batch.target, CLASSES, 4)
    for name, labeled in seen.labeled.items():
        wanted = label[batch.frames[name].present].flatten()
        assert torch.equal(labeled.label, wanted[wanted >= 0])
        assert labeled.features.shape == (len(labeled.label), sum(objective.encoders.items()[name].dims))
    assert not embed_places(objective, [batch], 16).labeled


def test_shares_per_place_label_places():
    batch = replace(places(), target=torch.tensor([[0.2, 0.8, 0.0], [0.6, 0.1, 0.3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))
    seen = embed_places(contrast(), [batch], 4, CLASSES)
    assert seen.labeled["s2"].label.tolist() == [1, 2, 0]  # places 0, 2, 3 have it
    assert len(seen.labeled["climate"].features) == 2


def test_a_cell_has_the_class_that_covers_most_of_it():
    target = torch.tensor([[[0, 0, 2, 9], [0, 1, 9, 9], [1, 1, 2, 2], [1, 1, 2, 9]]])
    assert cell_labels(target, CLASSES, 2).tolist() == [[0, -1, 1, 2]]
    void_first = ClassTable(("void", "a", "b"), ("#000000",) * 3, ignore=0)
    assert cell_labels(torch.tensor([[[0, 0], [1, 0]]]), void_first, 1).tolist() == [[-1]]


@pytest.mark.parametrize("side", [1, 2])
def test_no_cell_without_a_label_is_kept(side):
    nothing = torch.full((2, 4, 4), CLASSES.ignore)
    assert (cell_labels(nothing, CLASSES, side) == -1).all()
