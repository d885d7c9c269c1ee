"""Muon over sharded parameters. Apart from muon.py, since DTensor takes a second to import."""

from __future__ import annotations

from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from centime.train.optimizers.muon import Muon


class ShardedMuon(Muon):
    """Muon on DTensors: sharded over a batch dimension they need no communication; a sharded matrix is gathered."""

    def whole_matrices(self, update: Tensor) -> Tensor:
        assert isinstance(update, DTensor)
        if all(place.is_replicate() or place.dim < update.dim() - 2 for place in update.placements):  # type: ignore[attr-defined]
            return update.to_local()
        return update.full_tensor()

    def own_part(self, p: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(p, DTensor)
        weight = p.to_local()
        if delta.shape == weight.shape:
            return weight, delta
        whole = DTensor.from_local(delta, p.device_mesh, [Replicate()] * p.device_mesh.ndim, run_check=False)
        return weight, whole.redistribute(placements=p.placements).to_local()
