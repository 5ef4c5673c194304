"""Scores of students by a short training on what their teacher says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from nascore import _core
from nascore.evaluators.train import TrainEvaluator
from nascore.networks.distillation import Distillation, Taught, load_teacher
from nascore.networks.training import Loss
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

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        return [self._refused(job.architecture) or self._evaluate(job) for job in jobs]

    def _refused(self, architecture: Architecture) -> Evaluation | None:
        def invalid(message: str) -> Evaluation:
            return Evaluation(metrics, self.fidelity, "invalid", message)

        metrics: dict[str, float] = {}
        try:
            net = self.skeleton.expand(architecture, self.task.shape, self.task.classes)
        except ValueError:
            return invalid("the student cannot be built: what is left no longer fits")
        metrics = {"params": float(net.params), "macs": float(net.macs)}
        if self.parent_params is not None and net.params >= self.parent_params:
            return invalid("the student is not smaller than its parent")
        rows, linear = net.rows, _core.OPS["linear"][0]
        for i in np.flatnonzero(rows[:, 0] == linear):
            if rows[net.inputs[i][0], 6] > self.max_linear:
                return invalid(f"a linear layer has more than {self.max_linear} inputs")
        return None

    def loss(self, job: Job) -> Loss:
        if job.files is None:
            raise RunError("students read their teacher from the run's folder, which it has not")
        try:
            teacher = load_teacher(job.files / self.teacher, self.task.shape, self.task.classes)
        except ValueError as error:
            raise RunError(f"{error}; begin the run anew") from error
        return Taught(teacher, self.distillation)
