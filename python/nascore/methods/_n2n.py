"""The stages of N2N: the teacher, the two policies at work, the best students at length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from nascore.agents.compression import ActorCritic, RemovalPolicy, ShrinkagePolicy
from nascore.agents.policy_gradient import PolicyGradient
from nascore.evaluators.distill import DistillEvaluator
from nascore.files import write_whole
from nascore.networks import Network, Recipe, accuracy, build_net, fit
from nascore.networks.distillation import (
    read_card,
    save_teacher,
)
from nascore.search import AskTell, Compression, Run, RunError
from nascore.search.finalists import Finalists
from nascore.spaces import Architecture, WholeNet
from nascore.spaces.compression import RemovalSpace, ShrinkageSpace
from nascore.tasks import Task
from nascore.trial import Agent, Job, Trial

if TYPE_CHECKING:
    from nascore.methods.n2n import Config

TEACHER = "teacher.safetensors"  # in the run's folder of weights
_CHECKPOINT = "teacher.checkpoint"
_POLICY = "{}-policy.safetensors"


@dataclass
class Teach:
    """Trains the teacher, unless it is, and leaves it to the stages after."""

    task: Task
    architecture: Architecture
    network: Network | None  # None: to be trained
    recipe: Recipe
    seed: int
    seen: Task  # as the teacher sees it: the task, in the teacher's own normalisation
    trials: int = field(default=0, init=False)

    def run(self, run: Run) -> Iterator[Trial]:
        """Goes on from the last whole epoch. Raises RunError where the training fails."""
        path = run.files / TEACHER
        if not path.exists() and (network := self.network or self._train(run)) is not None:
            score = accuracy(network, self.seen, "valid").accuracy
            if not score:
                raise RunError("the teacher is never right: there is nothing to learn from it")
            net = WholeNet().expand(self.architecture, self.task.shape, self.task.classes)
            card = {"val_accuracy": score, "params": net.params, "task": self.task.name}
            card |= {"mean": self.seen.mean, "std": self.seen.std}
            save_teacher(path, self.architecture, network, card)
            (run.files / _CHECKPOINT).unlink(missing_ok=True)
        yield from ()

    def _train(self, run: Run) -> Network | None:
        """The trained network; None when the time is up before."""
        net = WholeNet().expand(self.architecture, self.task.shape, self.task.classes)
        network = build_net(net, self.seed, self.recipe.init)
        fitted = fit(
            network,
            self.task,
            self.recipe,
            self.seed,
            time_limit_s=run.left_s(),
            checkpoint=run.files / _CHECKPOINT,
            on_epoch=lambda epoch: run.on_progress(
                "training the teacher", epoch.done, self.recipe.epochs
            ),
        )
        if fitted.status == "timed out":
            return None
        if fitted.valid is None:
            raise RunError(
                f"the teacher's training failed: {fitted.status}, {fitted.message}; "
                "try another teacher_recipe in another run"
            )
        return network


def reward(config: Config, run: Run, first: int) -> Compression:
    card = read_card(run.files / TEACHER)
    return Compression(
        card["params"],
        card["val_accuracy"],
        config.max_params,
        config.min_accuracy,
        config.batch,
        config.anneal,
        first,
    )


def limited(config: Config, run: Run) -> Compression:
    """The reward with all limits in force."""
    return replace(reward(config, run, 0), anneal=0)


def rank(config: Config, run: Run) -> Callable[[Trial], tuple[float, float, int]]:
    """What is greatest of the best trial, whenever it was: early ones were forgiven their size."""
    judge = limited(config, run)
    free = replace(judge, max_params=None, min_accuracy=None)

    def of(trial: Trial) -> tuple[float, float, int]:
        job = Job(trial.number, trial.architecture, 0)
        return judge(job, trial.evaluation), free(job, trial.evaluation), -trial.number

    return of


@dataclass
class Compress:
    """One of the two policies at work: on the teacher, or on the best student so far."""

    kind: Literal["removal", "shrinkage"]
    task: Task
    config: Config
    seed: int
    trials: int
    evaluator: Any

    def run(self, run: Run) -> Iterator[Trial]:
        """Starts, or goes on from the log; then leaves the policy to other runs."""
        config, parent = self.config, self._parent(run)
        agent = self.agent(parent)
        evaluator = self.evaluator
        if isinstance(evaluator, DistillEvaluator):
            net = config.skeleton.expand(parent, self.task.shape, self.task.classes)
            evaluator = replace(evaluator, parent_params=net.params)
        stage = AskTell(
            agent,
            evaluator,
            reward(config, run, run.first),
            self.trials,
            batch=config.batch,
            deadline_s=config.time_limit_s,
        )
        yield from stage.run(run)
        done = run.store.asked(run.stage) == self.trials and not run.store.pending(run.stage)
        if done and isinstance(agent, PolicyGradient):
            write_whole(
                run.files / _POLICY.format(self.kind),
                safetensors.torch.save(agent.controller.state_dict()),
            )

    def agent(self, parent: Architecture) -> Agent:
        """The learner that decides what becomes of `parent`."""
        config = self.config
        space: RemovalSpace | ShrinkageSpace
        policy: RemovalPolicy | ShrinkagePolicy
        if self.kind == "removal":
            seed, lr = self.seed, config.removal_lr
            space = RemovalSpace(parent)
            policy = RemovalPolicy(space, seed, config.units, config.descriptions)
        else:
            seed, lr = self.seed ^ 1, config.shrinkage_lr  # its own random numbers
            space = ShrinkageSpace(parent, config.min_width, config.strided)
            policy = ShrinkagePolicy(space, seed, config.units, config.descriptions)
        if config.transfer is not None:
            _begin_as(policy, Path(config.transfer), self.kind)
        settings: dict[str, Any] = {
            "batch": config.batch,
            "lr": lr,
            "entropy": config.entropy,
            "baseline": config.baseline,
        }
        if config.learner == "actor_critic":
            return ActorCritic(space, seed, policy, **settings)
        return PolicyGradient(space, seed, clip=None, epochs=1, controller=policy, **settings)

    def _parent(self, run: Run) -> Architecture:
        teacher = Architecture.from_json(read_card(run.files / TEACHER)["architecture"])
        first = run.first
        before = [t for t in run.store.trials() if t.number < first and t.evaluation.ok]
        return max(before, key=rank(self.config, run)).architecture if before else teacher


@dataclass
class Final:
    """The best students, each trained at length."""

    config: Config
    trials: int
    evaluator: Any

    def run(self, run: Run) -> Iterator[Trial]:
        """Starts, or goes on from the log."""
        best = rank(self.config, run)
        judge = limited(self.config, run)
        yield from Finalists(self.evaluator, judge, self.trials, rank=best).run(run)


def saved_policy(run: Path, kind: str) -> dict[str, Tensor]:
    path = run / "weights" / _POLICY.format(kind)
    try:
        return safetensors.torch.load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"transfer: {path} holds no policy, as a complete run of n2n leaves it: {error}"
        ) from error


def _begin_as(policy: nn.Module, run: Path, kind: str) -> None:
    try:
        policy.load_state_dict(saved_policy(run, kind))
    except RuntimeError as error:
        raise ValueError(f"transfer: the policy of {run} has other units: {error}") from error
