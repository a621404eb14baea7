"""Model folders: whole or not at all, the same bits back, and nothing damaged is read."""

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import FACTS, SENSORS, arrays, contrast, fusion_model

import omnifuse
from omnifuse.errors import CheckpointError, InputError
from omnifuse.inference import folder as folders
from omnifuse.inference import releases
from omnifuse.inference.releases import Release
from omnifuse.models.model import Encoders
from omnifuse.zoo import load, load_pretrained, save_model, save_pretrained


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("zoo") / "small"
    save_model(path, fusion_model(), FACTS)
    return path


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    target = tmp_path / "copy"
    target.mkdir()
    for path in saved.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def edit(folder: Path, **changes) -> None:
    """Change fields of `config.json`; a dotted path reaches inside."""
    value = json.loads((folder / "config.json").read_text())
    for key, new in changes.items():
        *path, last = key.split("__")
        at = value
        for part in path:
            at = at[part]
        at[last] = new
    (folder / "config.json").write_text(json.dumps(value))


def test_what_is_loaded_is_what_was_saved(saved):
    original, loaded = fusion_model(), omnifuse.load(saved)
    assert loaded.model.config == original.config
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())
    for key, value in original.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[key], value), key
    assert loaded.config.facts == FACTS


def test_weights_know_their_data(saved):
    content = json.loads((saved / "config.json").read_text())
    sensors = content["architecture"]["model"]["sensors"]["modalities"]
    assert sensors["s2"]["bands"][2] == "B4"
    assert sensors["s2"]["units"][2] == "reflectance*10000"
    assert sensors["s2"]["mean"][2] == 1429.22
    assert sensors["spot"]["gsd"] == 2.5
    assert content["dates"] == {
        "convention": "whole days since 1970-01-01",
        "origin of s2": "2018-09-01",
        "origin of s1_asc": "2018-09-01",
    }
    assert content["omnifuse"] == omnifuse.__version__
    assert content["weights"]["bytes"] == (saved / "model.safetensors").stat().st_size


def test_the_card_shows_sensors_classes_metrics_and_a_snippet_that_names_the_model(saved):
    card = (saved / "README.md").read_text()
    for part in (
        "license: cc-by-4.0",
        "# A small model",
        'omnifuse.load("small")',
        "| 2 | winter wheat | `#ddbb55` |",
        "| miou: s2 | 0.5123 |",
        "`s1_asc` | Sentinel-1 ascending | VV, VH, VV-VH | dB | 10 | many | -10.92",
        "## Limits",
    ):
        assert part in card


def test_saving_twice_gives_the_same_bytes_and_replaces_the_earlier_model(tmp_path, saved):
    save_model(tmp_path / "small", fusion_model(seed=1), FACTS)
    save_model(tmp_path / "small", fusion_model(), FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["small"]
    for path in saved.iterdir():
        assert (tmp_path / "small" / path.name).read_bytes() == path.read_bytes()


def test_loading_leaves_the_random_numbers_of_the_caller_alone(saved):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    load(saved)
    assert torch.equal(torch.rand(3), expected)


def test_a_save_that_dies_leaves_the_earlier_model_whole(tmp_path, monkeypatch):
    save_model(tmp_path / "small", fusion_model(), FACTS)

    def die(*_args):
        raise OSError("disk full")

    for step in ("write_json", "sync"):
        with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):
            broken.setattr(folders, step, die)
            save_model(tmp_path / "small", fusion_model(seed=1), FACTS)
        loaded = load(tmp_path / "small").model.state_dict()
        assert all(torch.equal(loaded[key], value) for key, value in fusion_model().state_dict().items())


def test_saving_refuses_weights_that_are_not_finite_and_folders_of_something_else(tmp_path):
    model = fusion_model()
    model.head.classify[1].weight.data[0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=r"head\.classify\.1\.weight.*not finite"):
        save_model(tmp_path / "broken", model, FACTS)
    (tmp_path / "photos").mkdir()
    with pytest.raises(CheckpointError, match="not a model folder"):
        save_model(tmp_path / "photos", fusion_model(), FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_every_flipped_bit_of_the_weights_is_noticed(copy):
    path = copy / "model.safetensors"
    data = path.read_bytes()
    draw = torch.Generator().manual_seed(0)
    for bit in torch.randint(0, 8 * len(data), (60,), generator=draw).tolist():
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError, match=r"model\.safetensors.*Try: "):
            load(copy)


def rewritten(folder: Path, change) -> None:
    """Change the tensors and have `config.json` vouch for them, so that later checks are reached."""
    state = load_file(folder / "model.safetensors")
    save_file(change(state), folder / "model.safetensors")
    size = (folder / "model.safetensors").stat().st_size
    edit(folder, weights__bytes=size, weights__sha256=folders._sha256(folder / "model.safetensors"))


def renamed(state, old, new):
    return {key.replace(old, new): value for key, value in state.items()}


DAMAGES = {
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: no such file"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config.json: no such file.*holds README.md, model.safetensors"),
    "cut weights": (lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]), "bytes, expected"),
    "LFS pointer": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid"), "git lfs pull"),
    "web page": (lambda f: (f / "model.safetensors").write_text("\n<!DOCTYPE html><html>404"), "a web page"),
    "not JSON": (lambda f: (f / "config.json").write_text('{"format": '), "not a JSON file"),
    "other JSON": (lambda f: (f / "config.json").write_text('{"architectures": ["Bert"]}'), "not an omnifuse model"),
    "JSON list": (lambda f: (f / "config.json").write_text("[]"), "not an omnifuse model"),
    "newer format": (lambda f: edit(f, format_version=2, omnifuse="9.0"), r"format version 2 of omnifuse 9.0.*pip install --upgrade"),
    "unknown encoder": (lambda f: edit(f, architecture__model__sensors__encoders__s2__kind="os.system"), "os.system"),
    "unknown field": (lambda f: edit(f, architecture__model__head__hook="x"), r"head.*hook"),
    "other width": (lambda f: edit(f, architecture__model__fusion__dims=[16, 16]), "parameters"),
    "huge": (lambda f: edit(f, architecture__model__head__dims=[10_000_000]), "parameters"),
    "impossible": (lambda f: edit(f, architecture__model__fusion__heads=3), "heads"),
    "not finite": (lambda f: rewritten(f, lambda s: s | {"fusion.mlp.1.bias": s["fusion.mlp.1.bias"] * torch.inf}), "not finite"),
    "missing tensors": (
        lambda f: rewritten(f, lambda s: {k: v for k, v in s.items() if "by_name.s2" not in k}),
        r"\d+ missing \(encoders.by_name: \d+\)",
    ),
    "renamed tensors": (lambda f: rewritten(f, lambda s: renamed(s, "head.", "tail.")), r"missing \(head.*unexpected \(tail"),
    "misshapen tensor": (lambda f: rewritten(f, lambda s: s | {"fusion.mlp.1.bias": torch.zeros(5)}), r"another shape \(fusion.mlp: 1\)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_a_clear_error(copy, damage):
    change, message = DAMAGES[damage]
    change(copy)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(copy)
    assert str(copy) in str(caught.value)
    assert "Try: " in str(caught.value)


def test_a_config_cannot_claim_more_memory_than_its_weights_take_on_disk(copy):
    edit(copy, architecture__model__head__dims=[20_000])
    with pytest.raises(CheckpointError, match=r"describes \d+ parameters") as caught:
        load(copy)
    edit(copy, weights__parameters=int(str(caught.value).split("describes ")[1].split()[0]))
    with pytest.raises(CheckpointError, match=r"describes \d+ parameters, its weights are \d+ in \d+ bytes"):
        load(copy)


def test_only_the_config_and_the_weights_are_read(copy):
    (copy / "README.md").unlink()
    (copy / "modeling.py").write_text("raise SystemExit('code was run')")
    (copy / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n")
    load(copy)


def test_an_unknown_name_names_the_nearest_one(monkeypatch):
    monkeypatch.setattr(releases, "RELEASES", {"tiny-landscape": Release(where="tiny-landscape", sha256="", license="")})
    with pytest.raises(CheckpointError, match="Try: `tiny-landscape`"):
        load("tiny-landscpe")
    with pytest.raises(CheckpointError, match="no such folder"):
        load("runs/finetune/model")


def test_a_name_finds_its_folder(monkeypatch, saved):
    sha256 = json.loads((saved / "config.json").read_text())["weights"]["sha256"]
    release = Release(where="small", sha256=sha256, license="CC-BY-4.0")
    monkeypatch.setattr(releases, "RELEASES", {"tiny": release})
    monkeypatch.setattr(releases, "ROOTS", (saved.parent / "nowhere", saved.parent))
    assert load("tiny").config.facts["seed"] == 3
    monkeypatch.setattr(releases, "RELEASES", {"tiny": replace(release, sha256="0" * 64)})
    with pytest.raises(CheckpointError, match=f"holds weights {sha256[:12]}…, tiny was released with 000000000000…"):
        load("tiny")
    assert load(saved).config.weights.sha256 == sha256


def test_a_hub_needs_a_pinned_revision_and_its_failure_is_a_clear_error(monkeypatch):
    with pytest.raises(CheckpointError, match="org/name@commit"):
        load("org/name")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: (_ for _ in ()).throw(OSError("no network")))
    with pytest.raises(CheckpointError, match=r"org/name@abc.*no network.*Try: "):
        load("org/name@abc")


def test_a_hub_folder_is_fetched_at_its_revision_without_anything_else(monkeypatch, saved):
    asked = {}

    def fake(name, **options):
        asked.update(options, name=name)
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fake)
    load("org/name@abc123")
    assert asked == {"name": "org/name", "revision": "abc123", "allow_patterns": ["config.json", "model.safetensors"]}


def test_pretrained_encoders_start_another_training(tmp_path):
    original = contrast(seed=1)
    save_pretrained(tmp_path / "pretrained", original, {})
    pretrained = load_pretrained(tmp_path / "pretrained")
    model = fusion_model(seed=2)
    head = model.head.classify[1].weight.clone()
    pretrained.load_into(model.encoders)
    for key, value in original.encoders.state_dict().items():
        assert torch.equal(model.encoders.state_dict()[key], value), key
    assert torch.equal(model.head.classify[1].weight, head)


def test_some_of_the_pretrained_sensors_are_enough_and_others_are_not_touched(tmp_path):
    save_pretrained(tmp_path / "pretrained", contrast(seed=1), {})
    modalities = {"s2": SENSORS.modalities["s2"], "dem": omnifuse.MODALITIES["dem"]}
    encoders = Encoders(replace(SENSORS, modalities=modalities, encoders=dict.fromkeys(modalities, SENSORS.encoders["s2"])))
    before = {key: value.clone() for key, value in encoders.by_name["dem"].state_dict().items()}
    load_pretrained(tmp_path / "pretrained").load_into(encoders)
    assert all(torch.equal(before[key], value) for key, value in encoders.by_name["dem"].state_dict().items())
    expected = contrast(seed=1).encoders.by_name["s2"].state_dict()
    assert all(torch.equal(expected[key], value) for key, value in encoders.by_name["s2"].state_dict().items())


def test_pretrained_encoders_refuse_another_architecture_or_product(tmp_path, caplog):
    save_pretrained(tmp_path / "pretrained", contrast(), {})
    pretrained = load_pretrained(tmp_path / "pretrained")
    wider = replace(SENSORS, encoders=SENSORS.encoders | {"s2": replace(SENSORS.encoders["s2"], dim=32)})
    with pytest.raises(CheckpointError, match="encoder of 's2' was pretrained as dim 16, not 32"):
        pretrained.load_into(Encoders(wider))
    swapped = replace(SENSORS, encoders=SENSORS.encoders | {"spot": SENSORS.encoders["s2"]})
    with pytest.raises(CheckpointError, match="'spot' was pretrained as ViTConfig, not UTAEConfig"):
        pretrained.load_into(Encoders(swapped))
    other = replace(SENSORS, modalities={"dem": omnifuse.MODALITIES["dem"]}, encoders={"dem": SENSORS.encoders["s2"]})
    with pytest.raises(CheckpointError, match="none of dem"):
        pretrained.load_into(Encoders(other))
    stored = omnifuse.MODALITIES["s2"]
    assert pretrained.modality("s2", replace(stored, mean=(0.0,) * 10)) == stored  # statistics are those of the pretraining
    with pytest.raises(InputError, match=r"'s2' was pretrained with bands .*B8A"):
        pretrained.modality("s2", replace(stored, bands=tuple(reversed(stored.bands))))
    dem = omnifuse.MODALITIES["dem"]
    with caplog.at_level(logging.WARNING):
        assert pretrained.modality("dem", dem) == dem
    assert "'dem' was not pretrained" in caplog.text


def test_the_folder_does_not_point_to_the_weights_that_a_training_started_from(tmp_path):
    model = fusion_model()
    spot = replace(SENSORS.encoders["spot"], tokens_from="image", weights="somewhere/vit.safetensors")
    config = replace(SENSORS, encoders=SENSORS.encoders | {"spot": spot})
    cleaned = folders.without_paths(config).encoders["spot"]
    assert cleaned == replace(spot, weights="")
    save_model(tmp_path / "small", model, FACTS)
    assert "somewhere" not in (tmp_path / "small" / "config.json").read_text()


def test_loading_in_a_fresh_process_gives_the_same_map(saved):
    script = (
        "import sys; import omnifuse; from small_models import arrays; "
        "print(float(omnifuse.load(sys.argv[1]).predict(arrays()).probability[1].sum()).hex())"
    )
    here = Path(__file__).parent
    fresh = subprocess.run([sys.executable, "-c", script, str(saved)], cwd=here, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip().splitlines()[-1] == float(load(saved).predict(arrays()).probability[1].sum()).hex()
