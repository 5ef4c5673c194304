"""Who scores an architecture."""

from nascore.evaluators.function import FunctionEvaluator
from nascore.evaluators.hypernet import HypernetEvaluator
from nascore.evaluators.table import TableEvaluator
from nascore.evaluators.train import TrainEvaluator

__all__ = ["FunctionEvaluator", "HypernetEvaluator", "TableEvaluator", "TrainEvaluator"]
