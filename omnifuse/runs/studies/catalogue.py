"""The studies by name."""

from omnifuse.runs.studies import ablation, floods, fractions, fusions, modalities, points, regions, robust
from omnifuse.runs.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        modalities.STUDY,
        ablation.STUDY,
        fractions.STUDY,
        fusions.STUDY,
        regions.STUDY,
        robust.STUDY,
        floods.STUDY,
        points.CROPS,
        points.BLOOMS,
    )
}
