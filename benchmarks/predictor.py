"""Does the meta-DNN know good cells? On measured ones of NAS-Bench-101, half of them held out.

    python benchmarks/predictor.py --table nb101_500.csv [--splits 10]

`--table` has the columns adjacency_7x7_rowmajor, node_ops, params, flops and val_accuracy. Prints
Markdown: Kendall's tau with the accuracy of the cells held out, mean and spread over random splits.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from nascore.agents.alphax_settings import ALPHAX
from nascore.sampling import states_after
from nascore.spaces import EdgeDagSpace
from nascore.surrogates.stages import StagedPredictor

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from dag_kit import read_cells

SETTINGS: dict[str, Any] = {
    "stages": 1,
    "hidden": ALPHAX.hidden,
    "members": 5,
    "epochs": 40,
    "batch": 64,
    "lr": 1e-2,
    "weight_decay": 1e-4,
    "target": "rank",
    "fresh": True,
    "bayesian": False,
}
MODELS: dict[str, dict[str, Any]] = {
    "one MLP": {"members": 1},
    "five MLPs": {},
    "five MLPs, Bayesian last layers": {"bayesian": True},
    "the same in two stages": {"bayesian": True, "stages": 2},
    "the same in three stages": {"bayesian": True, "stages": 3},
}


def tau(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(stats.kendalltau(a, b).statistic)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    cells, columns = read_cells(given.table)
    space, truth, n = EdgeDagSpace(), columns["val_accuracy"], len(cells)
    states = states_after(space, [space.actions(cell) for cell in cells])
    sizes = [n // 20, n // 10, n // 4, n // 2]
    found: dict[tuple[str, int], list[float]] = {}
    for split in range(given.splits):
        order = np.random.default_rng(split).permutation(n)
        test = order[n // 2 :]
        for name in ("params", "flops"):
            rival = tau(np.log(columns[name][test]), truth[test])
            found.setdefault((f"log {name} alone", sizes[-1]), []).append(rival)
        for name, changes in MODELS.items():
            for size in sizes:
                model = StagedPredictor(space, split, **{**SETTINGS, **changes})
                model.fit_states(states[order[:size]], truth[order[:size]])
                predicted = model.predict_states(states[test])[0]
                found.setdefault((name, size), []).append(tau(predicted, truth[test]))
    print(f"{n} cells, {n - n // 2} held out, {given.splits} splits, mean ± standard deviation:\n")
    print(f"| Kendall's tau after | {' | '.join(f'{size} cells' for size in sizes)} |")
    print(f"| --- |{' --- |' * len(sizes)}")
    for name in dict.fromkeys(name for name, _ in found):
        taus = [found.get((name, size)) for size in sizes]
        row = ["" if t is None else f"{np.mean(t):.3f} ± {np.std(t):.3f}" for t in taus]
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
