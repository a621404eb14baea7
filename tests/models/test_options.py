"""Options that save memory or time give the same loss and gradient: exactly, or to the rounding they state."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import places, sensors

from omnifuse.models.model import EncodersConfig
from omnifuse.objectives.contrast import Contrast, ContrastConfig

ROOT = Path(__file__).parents[2]


def contrast(**options: bool) -> Contrast:
    """Return the tiny contrast with options on every encoder that has them."""
    config = sensors()
    encoders = {
        name: replace(encoder, **{key: value for key, value in options.items() if hasattr(encoder, key)})
        for name, encoder in config.encoders.items()
    }
    torch.manual_seed(0)
    return ContrastConfig(dim=8, hidden=16, cell_gsd=40.0, num_cells=6).build(
        EncodersConfig(modalities=config.modalities, encoders=encoders)
    )


def step(objective: Contrast) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    loss = objective(places(3)).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in objective.named_parameters() if p.grad is not None}


def test_activation_checkpointing_gives_the_same_bits():
    loss, gradients = step(contrast())
    again, recomputed = step(contrast(checkpoint=True))
    assert torch.equal(loss, again)
    assert gradients.keys() == recomputed.keys()
    assert all(torch.equal(gradients[name], recomputed[name]) for name in gradients)


def test_activation_checkpointing_keeps_less_for_the_backward_pass():
    def kept(objective: Contrast) -> int:
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.setdefault(x.data_ptr(), x.numel()) and x, lambda x: x):
            objective(places(3))
        return sum(sizes.values())

    assert kept(contrast(checkpoint=True)) < 0.7 * kept(contrast())


def test_bf16_gives_the_same_loss_to_its_rounding():
    loss, gradients = step(contrast())
    half = contrast()
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        found = half(places(3)).loss
    found.backward()
    assert found.dtype == torch.float32  # the contrast itself is never in bf16
    torch.testing.assert_close(found.detach(), loss, rtol=0.02, atol=0)
    whole, rounded = (
        torch.cat([g[name].flatten() for name in gradients]) for g in (gradients, {n: p.grad for n, p in half.named_parameters()})
    )
    assert torch.cosine_similarity(whole, rounded, dim=0) > 0.9


COMPILED = """
import torch
from dataclasses import replace
from tiny import SENSORS, places
from omnifuse.models.utae import UTAE, UTAEConfig

torch.set_num_threads(1)
config = UTAEConfig(widths=(8, 8), heads=4, dim=16, dropout=0, attention_dropout=0)
losses, outputs, gradients, states = [], [], [], []
for compiled in (False, True):
    torch.manual_seed(0)
    encoder = UTAE(SENSORS["s1_asc"], replace(config, compile=compiled))
    maps = encoder(places(3).frames["s1_asc"]).maps
    loss = sum(x.square().mean() for x in maps)
    loss.backward()
    losses.append(loss.detach())
    outputs.append([x.detach() for x in maps])
    gradients.append({name: p.grad for name, p in encoder.named_parameters()})
    states.append(list(encoder.state_dict()))
torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)
torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-3, atol=1e-3)
torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-2, atol=1e-4)
assert states[0] == states[1]
assert encoder.in_conv._compiled_call_impl is not None
print("same")
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compiled_convolutions_give_the_same_maps_and_gradients():
    """In a process of its own: shape checks on every call and the compiler do not go together."""
    folder = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=1100, env=os.environ | {"PYTHONPATH": folder}, cwd=ROOT
    )
    assert done.stdout.strip().endswith("same"), done.stderr[-2000:]
