"""Scores of students by a short training on what their teacher says."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from nascore import _core
from nascore.evaluators.train import TrainEvaluator
from nascore.networks.distillation import Distillation, lesson
from nascore.networks.steps import Loss
from nascore.search.folder import RunError
from nascore.spaces import Architecture
from nascore.trial import Evaluation, Job


@dataclass(frozen=True)
class DistillEvaluator(TrainEvaluator):
    """Trains each student by `distillation` from the teacher that is the file `teacher` of the run.

    One that cannot be built is "invalid", and so is one that has not fewer than `parent_params`
    parameters, or a linear layer of more than `max_linear` inputs. Nothing is inherited from the
    teacher. Raises RunError where its file is not there.
    """

    teacher: str = "teacher.safetensors"
    distillation: Distillation = Distillation()  # noqa: RUF009  # frozen
    parent_params: int | None = None
    max_linear: int = 50_000  # as in the released code

    def key(self, architecture: Architecture) -> str:
        how = "-".join(map(str, asdict(self.distillation).values()))
        return f"{super().key(architecture)}-{how}-{self.parent_params}-{self.max_linear}"

    def _known(self, architecture: Architecture) -> tuple[Evaluation, _core.Net | None]:
        found, net = super()._known(architecture)

        def invalid(message: str) -> tuple[Evaluation, None]:
            return Evaluation(found.metrics, self.fidelity, "invalid", message), None

        if "params" not in found.metrics:
            return invalid("the student cannot be built: what is left no longer fits")
        if net is None:
            return found, None
        if self.parent_params is not None and net.params >= self.parent_params:
            return invalid("the student is not smaller than its parent")
        rows, linear = net.rows, _core.OPS["linear"][0]
        for i in np.flatnonzero(rows[:, 0] == linear):
            if rows[net.inputs[i][0], 6] > self.max_linear:
                return invalid(f"a linear layer has more than {self.max_linear} inputs")
        return found, net

    def loss(self, job: Job) -> Loss:
        if job.files is None:
            raise RunError("students read their teacher from the run's folder, which it has not")
        try:
            return lesson(job.files / self.teacher, self.task, self.distillation)
        except ValueError as error:
            raise RunError(f"{error}; begin the run anew") from error
