"""Networks as torch modules, and their training."""

from nascore.networks.build import Network, build, build_net, require_parts
from nascore.networks.ensemble import Ensemble
from nascore.networks.execution import Execution
from nascore.networks.recipe import Recipe
from nascore.networks.scoring import Score, accuracy, area, exit_scores
from nascore.networks.training import Epoch, Fit, fit

__all__ = [
    "Ensemble",
    "Epoch",
    "Execution",
    "Fit",
    "Network",
    "Recipe",
    "Score",
    "accuracy",
    "area",
    "build",
    "build_net",
    "exit_scores",
    "fit",
    "require_parts",
]
