"""What an architecture is known to cost before it is given weights."""

from __future__ import annotations

from dataclasses import asdict
from statistics import fmean

from nascore._core import Net
from nascore.spaces import SKELETONS, AnySkeleton, Architecture
from nascore.tasks import Task
from nascore.trial import Evaluation, Fidelity, Limits, Status


def known(
    architecture: Architecture,
    task: Task,
    skeleton: AnySkeleton,
    limits: Limits,
    fidelity: Fidelity,
) -> tuple[Evaluation, Net | None]:
    """The costs, and the network; None where it is empty or too large, as the evaluation says.

    Raises TypeError for an architecture of a space that is not the skeleton's.
    """
    if SKELETONS.get(architecture.space) is not type(skeleton):
        raise TypeError(f"a {architecture.space} architecture has no place in the skeleton")
    metrics: dict[str, float] = {}

    def failed(status: Status, message: str) -> tuple[Evaluation, None]:
        return Evaluation(metrics, fidelity, status, message), None

    if graphs := architecture.graphs:  # of two cells the mean density and the longer path
        metrics |= {
            "density": fmean(graph.density() for graph in graphs),
            "longest_path": float(max(graph.longest_path() for graph in graphs)),
        }
        if not any(graph.layers() for graph in graphs):
            return failed("invalid", "empty block")
    try:
        net = skeleton.expand(architecture, task.shape, task.classes)
    except ValueError as error:  # too wide; what else could be wrong was tried at the start
        return failed("too large", str(error))
    cost = {"params": net.params, "macs": net.macs, "peak_bytes": net.peak_bytes}
    metrics |= {name: float(value) for name, value in cost.items()}
    for name, most in asdict(limits).items():
        if most is not None and cost[name] > most:
            return failed("too large", f"{name}={cost[name]:,} passes the limit {most:,}")
    return Evaluation(metrics, fidelity), net
