"""Time the U-TAE on packed frames against a plain padded one with the same weights, in CPU-seconds and ratios.

    python benchmarks/utae.py [--frames 16] [--side 128] [--train] [--bf16]     # published sizes, with decoder
    python benchmarks/utae.py --fill 0.8 --places 4                             # series of unequal length
    python benchmarks/utae.py --small                                           # our encoder, sizes for two CPU cores

Variants run in turn within every round, and the fastest round counts, so that ratios hold on a busy machine. `dummy` repeats
what the published code does: one more pass of the convolutions over zeros of the full padded shape, to learn output shapes.
`padded` convolves padding too; the published code skips it.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from omnifuse.frames import Features, Frames
from omnifuse.modalities import MODALITIES
from omnifuse.models.ltae import encode_day
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.utae_reference import ReferenceUTAE


class PlainUTAE:
    """The published order of operations on (b, t, c, h, w), on the modules of another model."""

    def __init__(self, model: ReferenceUTAE, *, dummy: bool = False, skip_padding: bool = True) -> None:
        self.model, self.dummy, self.skip_padding = model, dummy, skip_padding

    def __call__(self, x: Tensor, day: Tensor, pad: Tensor) -> Tensor:
        maps = []
        for stage in (self.model.in_conv, *self.model.down_blocks):
            x = self.shared(stage, x, pad)
            maps.append(x)
        out, attention = self.attend(maps[-1], day, pad)
        for block, skip in zip(self.model.up_blocks, reversed(maps[:-1]), strict=True):
            out = block(out, self.collapse(skip, attention, pad))
        return self.model.out_conv(out)

    def shared(self, stage: Callable[[Tensor], Tensor], x: Tensor, pad: Tensor) -> Tensor:
        """Run a stage on every frame."""
        flat = x.flatten(0, 1)
        if self.dummy:
            stage(torch.zeros(flat.shape))
        if not self.skip_padding:
            return torch.unflatten(stage(flat), 0, pad.shape)
        real = stage(flat[~pad.flatten()])
        out = real.new_zeros(len(flat), *real.shape[1:])
        out[~pad.flatten()] = real
        return torch.unflatten(out, 0, pad.shape)

    def attend(self, x: Tensor, day: Tensor, pad: Tensor) -> tuple[Tensor, Tensor]:
        """Attend over time with every token projected."""
        ltae = self.model.temporal_encoder
        b, t, d, h, w = x.shape
        heads, key_dim = ltae.attention_heads.Q.shape
        series = x.permute(0, 3, 4, 2, 1).reshape(b * h * w, d, t)
        series = functional.group_norm(series, ltae.in_norm.groups, ltae.in_norm.weight, ltae.in_norm.bias)
        tokens = ltae.inconv(series).transpose(1, 2)
        date = encode_day(day.flatten(), tokens.shape[-1] // heads, ltae.period).view(b, 1, t, -1)
        tokens = tokens + date.repeat(1, h * w, 1, heads).flatten(0, 1)
        keys = ltae.attention_heads.fc1_k(tokens).view(b * h * w, t, heads, key_dim)
        score = torch.einsum("hk,nthk->nht", ltae.attention_heads.Q, keys) / key_dim**0.5
        score = score.masked_fill(pad[:, None, None].expand(b, h * w, heads, t).flatten(0, 1), -1000)
        attention = ltae.attention_dropout(score.softmax(-1))
        value = torch.einsum("nht,nthe->nhe", attention, tokens.view(b * h * w, t, heads, -1)).flatten(1)
        out = ltae.out_norm(ltae.dropout(ltae.mlp(value))).view(b, h, w, -1).permute(0, 3, 1, 2)
        return out, attention.view(b, h, w, heads, t).permute(0, 4, 3, 1, 2)

    def collapse(self, skip: Tensor, attention: Tensor, pad: Tensor) -> Tensor:
        """Average a skip over time, each head its share of channels."""
        size = skip.shape[-2:]
        weight = functional.interpolate(attention.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
        weight = torch.unflatten(weight, 0, pad.shape)
        weight = weight * (~pad)[:, :, None, None, None]
        parts = torch.stack(skip.chunk(weight.shape[2], 2))
        return torch.cat(list((weight.permute(2, 0, 1, 3, 4)[:, :, :, None] * parts).sum(2)), 1)


def fastest(variants: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Return CPU-seconds of the fastest round of each variant."""
    best = dict.fromkeys(variants, float("inf"))
    for _ in range(rounds + 1):  # the first warms up
        for name, variant in variants.items():
            start = time.process_time()
            variant()
            best[name] = min(best[name], time.process_time() - start)
    return best


def published(options: argparse.Namespace) -> None:
    """Compare on the published architecture."""
    widths, decoder = (64, 64, 64, 128), (32, 32, 64, 128)
    model = ReferenceUTAE(widths=widths, decoder=decoder, out=(32, 20), bands=10, stride=2, heads=16, key_dim=4, dim=256)
    model.train(options.train)
    longest = options.frames
    shortest = round(longest * (2 * options.fill - 1))
    count = torch.linspace(longest, shortest, options.places).round().long()
    real = torch.arange(longest) < count[:, None]
    pixels = torch.randn(options.places, longest, 10, options.side, options.side) * real[..., None, None, None]
    day = torch.arange(longest).expand(options.places, -1) * 7
    frames = Frames(pixels[real], day[real], count)

    def run(forward: Callable[[], Tensor]) -> Callable[[], None]:
        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16) if options.bf16 else nullcontext(), torch.set_grad_enabled(options.train):
                out = forward()
            if options.train:
                torch.autograd.backward(out.float().square().mean())

        return step

    variants = {
        "omnifuse": run(lambda: model(frames)[0]),
        "published order": run(lambda: PlainUTAE(model)(pixels, day, ~real)),
        "  + dummy": run(lambda: PlainUTAE(model, dummy=True)(pixels, day, ~real)),
        "  + padded": run(lambda: PlainUTAE(model, skip_padding=False)(pixels, day, ~real)),
    }
    if not options.train and not options.bf16 and bool(real.all()):
        with torch.no_grad():
            difference = (model(frames)[0] - PlainUTAE(model)(pixels, day, ~real)).abs().max()
        print(f"largest difference of the logits: {float(difference):.1e}")
    seconds = fastest(variants, options.rounds)
    for name, value in seconds.items():
        print(f"{name:16s} {value:7.2f} CPU-s   {value / seconds['omnifuse']:.2f} times omnifuse")


def small(options: argparse.Namespace) -> None:
    """Time training steps of our encoder on eight places of 32 × 32 pixels."""
    print("ms per place, forward and backward: CPU time and wall time")
    for widths in ((16, 32, 64), (24, 32, 64), (32, 32, 64)):
        for num in (16, 45):
            encoder = UTAEConfig(widths=widths, heads=8, dim=128, padding=options.padding).build(MODALITIES["s2"])
            frames = Frames(
                torch.randint(0, 6000, (8 * num, 10, 32, 32)).short(), 17775 + torch.arange(8 * num) % num * 7, torch.full((8,), num)
            )

            def step(encoder: Callable[[Frames], Features] = encoder, frames: Frames = frames) -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
                    maps = encoder(frames).maps
                torch.autograd.backward([x.float().square().mean() for x in maps])

            cpu = fastest({"": step}, options.rounds)[""]
            start = time.perf_counter()
            step()
            print(f"widths {widths!s:13s} {num:3d} frames: {cpu / 8 * 1e3:6.1f}  {(time.perf_counter() - start) / 8 * 1e3:6.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=16, help="dates of the longest series")
    parser.add_argument("--places", type=int, default=1)
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--fill", type=float, default=1.0, help="share of real frames in the padded batch, 0.5 to 1")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--padding", choices=("reflect", "zeros"), default="reflect", help="for --small")
    parser.add_argument("--train", action="store_true", help="forward and backward")
    parser.add_argument("--bf16", action="store_true", help="under autocast to bfloat16")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    small(options) if options.small else published(options)


if __name__ == "__main__":
    main()
