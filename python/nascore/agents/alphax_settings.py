"""What AlphaX can be told: the published settings, and ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nascore.surrogates.predictor import Target

Choice = Literal["chance", "upper", "improvement"]


@dataclass(frozen=True)
class AlphaXConfig:
    """The published settings; "choice" marks where the paper was not readable."""

    rule: Literal["ucb1", "puct"] = "ucb1"
    transpositions: bool = False  # whether walks to the same state share its value
    c: float = 2.0  # UCB1's bonus is 2c sqrt(2 ln N / n), for values in 0..1
    open_after: int = 1  # visits of a node before its children are walked to
    completions: int = 10  # that are scored, besides the first
    choice: Choice = "chance"  # which completion is truly evaluated
    kappa: float = 0.0  # of "upper": the weight of the standard deviation
    rounds: int = 1  # choice: in which completions are drawn, the later ones around the best
    target: Target = "reward"
    reward_scale: float = 100.0  # rewards are percent
    retrain_every: int = 100  # different architectures that succeeded
    warm_up: int = 0  # choice: of those, before the first training
    members: int = 1  # networks of the predictor; 0: nothing is predicted
    hidden: tuple[int, ...] = (512, 2048, 2048, 512)
    epochs: int = 20
    batch: int = 128
    lr: float = 2e-4
    weight_decay: float = 0.0  # choice
    fresh: bool = False  # learning goes on from the weights that there are
    relatives: int = 64  # choice: the best trials that a proposal may inherit weights from; 0: none
    bayesian: bool = False  # choice: of the output layer
    stages: int = 1  # of the predictor

    def __post_init__(self) -> None:
        for name in ("completions", "retrain_every", "rounds"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for name in ("members", "relatives"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be 0 or more")
        if self.choice not in ("chance", "upper", "improvement"):
            raise ValueError(f"choice={self.choice!r} must be 'chance', 'upper' or 'improvement'")
        if self.target not in ("rank", "reward"):
            raise ValueError(f"target={self.target!r} must be 'rank' or 'reward'")
        if not self.reward_scale > 0:
            raise ValueError(f"reward_scale={self.reward_scale} must be above 0")


# Ours, for some hundred evaluations; chosen by the validation column of NAS-Bench-201.
ALPHAX = AlphaXConfig(
    rule="puct",
    c=2.0,
    open_after=10,
    completions=255,
    choice="improvement",
    rounds=4,
    target="rank",
    retrain_every=1,
    warm_up=20,
    members=5,
    hidden=(64,),
    epochs=10,
    batch=1024,
    lr=1e-2,
    weight_decay=1e-4,
    fresh=True,
    bayesian=True,
    relatives=0,
)
