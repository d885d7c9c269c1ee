"""Distillation: the divergence from a teacher's next tokens in place of the next token's cross-entropy.

Letters of shapes: B sequences, S inputs of each, D the student's width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from centime.model import Transformer
from centime.ops.linear_divergence import linear_divergence
from centime.recipe import Distil
from centime.train.engine import MicroBatch, Objective


class DistilObjective(Objective):
    """(1 - hard_weight) of the divergence, hard_weight of the cross-entropy; both of the answers' tokens alone."""

    measures = ("divergence",)

    def __init__(self, model: Transformer, section: Distil, teacher: Transformer) -> None:
        super().__init__(model)
        self.section = section
        self._teacher = (teacher,)  # within a tuple it is no part of this module: nobody trains, shards or saves it
        self._divergence = torch.zeros(())

    def main_loss(self, hidden_BSD: Tensor, batch: MicroBatch, weights: Tensor) -> Tensor:
        section, (teacher,) = self.section, self._teacher
        S = hidden_BSD.shape[1]
        weights_BS = weights[:, :S]
        learnt = weights_BS > 0
        with torch.no_grad():
            theirs = teacher.features(batch.rows[:, :S]).hidden[learnt]
        student = (hidden_BSD[learnt], self.model.head_weight)
        apart_T = linear_divergence(student, (theirs, teacher.head_weight), section.beta, section.temperature)
        soft = (apart_T * weights_BS[learnt]).sum()
        self._divergence = soft.detach()
        if not section.hard_weight:
            return soft
        hard = super().main_loss(hidden_BSD, batch, weights)
        return (1 - section.hard_weight) * soft + section.hard_weight * hard

    def reported(self) -> Sequence[Tensor]:
        return (self._divergence,)
