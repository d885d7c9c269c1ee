"""The reference's log-probabilities on disk: computed once, and taken up again wherever a run was killed.

A line of JSON that says of which model, rows and type they are, and two float32 a pair in the order of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from centime.errors import UserError
from centime.train.kinds.kind import LiveStage

RECORD = 8  # bytes a pair


def key_of(live: LiveStage) -> dict[str, str]:
    """What decides the numbers: the weights, where the stage has not begun, the rows, and the type computed in."""
    key = {"rows": live.plan.rows.fingerprint, "dtype": str(live.engine.objective.model.dtype)}
    if live.step:
        return key
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in live.engine.state().items():
        if name.startswith(("weight/", "buffer/")):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return {**key, "model": digest.hexdigest()}


class ReferenceFile:
    """What is known of `pairs` pairs, and where more goes; a file of another key is begun anew."""

    def __init__(self, path: Path, key: Mapping[str, str], pairs: int, begun: bool) -> None:
        """begun: the stage has made steps, so that what is missing cannot be computed any more.

        Raises UserError where that is so, and where the file cannot be written.
        """
        self.path, self._key, self._pairs = path, key, pairs
        found = self._read()
        if begun and (found is None or len(found) < pairs):
            raise UserError(
                f"{path} is gone or of other pairs, and the model has changed since it was made: put it back from a "
                "copy, or begin another run from the model that the stage began with."
            )
        self._values = torch.zeros(0, 2) if found is None else found[:pairs]
        if found is None:
            self._write(json.dumps(dict(key)).encode() + b"\n", "wb")

    @property
    def known(self) -> int:
        """Pairs whose numbers are there."""
        return len(self._values)

    @property
    def missing(self) -> int:
        """Pairs whose numbers are not."""
        return self._pairs - self.known

    @property
    def values(self) -> Tensor:
        """Float32 [pairs, 2]."""
        return self._values

    def add(self, values_N2: Tensor, write: bool) -> None:
        """The next pairs' numbers; one rank writes them. Raises UserError where the disk is full."""
        self._values = torch.cat((self._values, values_N2))
        if write:
            self._write(values_N2.numpy().astype("<f4").tobytes(), "ab")

    def _write(self, content: bytes, mode: str) -> None:
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open(mode) as file:
                file.write(content)
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be written ({error.strerror}); free some space, then use --resume."
            ) from error

    def _read(self) -> Tensor | None:
        """The whole records of a file of this key, which is cut to these; None where it is absent or of another."""
        try:
            head, _, body = self.path.read_bytes().partition(b"\n")
            said = json.loads(head)
        except (OSError, ValueError):
            return None
        if not isinstance(said, dict) or any(said.get(name) != value for name, value in self._key.items()):
            return None
        whole = body[: len(body) // RECORD * RECORD]
        values = torch.from_numpy(np.frombuffer(whole, dtype="<f4").reshape(-1, 2).copy())
        if not bool(torch.isfinite(values).all()):
            return None
        if len(whole) < len(body):
            self._write(head + b"\n" + whole, "wb")
        return values
