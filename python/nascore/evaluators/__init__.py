"""Who scores an architecture."""

from nascore.evaluators.hypernet import HypernetEvaluator
from nascore.evaluators.table import TableEvaluator
from nascore.evaluators.train import TrainEvaluator

__all__ = ["HypernetEvaluator", "TableEvaluator", "TrainEvaluator"]
