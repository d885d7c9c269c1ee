"""The parameters of one device: views of one flat buffer in the compute type, over fp32 masters and fp32 gradients.

Clipping, the optimizer and the cast back are then a few passes over long vectors instead of hundreds of small calls.
V3 keeps masters and accumulated gradients in fp32 too (report, section 3.3.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

ALIGN = 64  # elements; every parameter starts on a cache line in any type


class FlatParameters:
    """Takes over a model's trained parameters: `p.data` become views of `compute`, gradients collect in `grad`.

    `groups` are lists of names that cover these; each group is one contiguous segment. With compute_dtype
    float32 the masters are the parameters themselves. Memory: 4 bytes a parameter for masters, 4 for gradients, and 2
    for bf16 copies.
    """

    def __init__(self, model: nn.Module, compute_dtype: torch.dtype, groups: Sequence[Sequence[str]]) -> None:
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        assert sorted(name for group in groups for name in group) == sorted(parameters)
        device = next(iter(parameters.values())).device
        self._spans: dict[str, tuple[int, torch.Size]] = {}
        self.segments: list[slice] = []
        end = 0
        for group in groups:
            start = end
            for name in group:
                self._spans[name] = (end, parameters[name].shape)
                end += -(-parameters[name].numel() // ALIGN) * ALIGN
            self.segments.append(slice(start, end))
        self.master = torch.zeros(end, dtype=torch.float32, device=device)
        self.grad = torch.zeros_like(self.master)
        same = compute_dtype == torch.float32
        self.compute = self.master if same else torch.zeros(end, dtype=compute_dtype, device=device)
        self._fresh: dict[str, bool] = {}
        masters, computes = self.named(self.master), self.named(self.compute)
        grads = self.named(self.grad)
        for name, parameter in parameters.items():
            masters[name].copy_(parameter.data)
            parameter.data = computes[name]
            parameter.register_post_accumulate_grad_hook(self._collect(name, grads[name]))
        self.publish()

    def _collect(self, name: str, total: Tensor):  # type: ignore[no-untyped-def]
        """A hook that moves a parameter's fresh gradient into the fp32 total and frees it at once."""

        def hook(parameter: Tensor) -> None:
            assert parameter.grad is not None
            if self._fresh.pop(name, False):
                total.copy_(parameter.grad)
            else:
                total.add_(parameter.grad)
            parameter.grad = None

        return hook

    def begin_step(self) -> None:
        """Forgets the last step's gradients: the first one to arrive of each parameter replaces its total."""
        self._fresh = dict.fromkeys(self._spans, True)

    def finish_gradients(self) -> None:
        """Zeroes the totals of parameters that no backward pass of this step has reached."""
        if self._fresh:
            grads = self.named(self.grad)
            for name in self._fresh:
                grads[name].zero_()
            self._fresh = {}

    @torch.no_grad()
    def publish(self) -> None:
        """Rounds the masters into the compute copy."""
        if self.compute is not self.master:
            self.compute.copy_(self.master)

    def named(self, flat: Tensor, segment: int | None = None) -> dict[str, Tensor]:
        """Views of a flat buffer of this layout (or of one segment of it), by parameter name and in its shape."""
        span = slice(0, self.master.numel()) if segment is None else self.segments[segment]
        return {
            name: flat[start - span.start : start - span.start + shape.numel()].view(shape)
            for name, (start, shape) in self._spans.items()
            if span.start <= start < span.stop
        }

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Sets the masters, and with them the model. Raises KeyError on a missing name."""
        for name, view in self.named(self.master).items():
            view.copy_(weights[name])
        self.publish()
