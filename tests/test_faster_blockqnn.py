"""What a faithful Faster BlockQNN must show: the numbered list of its specification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from agent_kit import history, predicted_rewards
from method_kit import QUICK, TINY
from nascore import methods, tables, tasks
from nascore.agents.random import Random
from nascore.evaluators.table import TableEvaluator, read_table
from nascore.evaluators.train import TrainEvaluator
from nascore.methods import blockqnn, faster_blockqnn
from nascore.search import AskTell, RunError, Search, Store
from nascore.search.executors import failed
from nascore.search.finalists import Finalists
from nascore.spaces import Architecture, BlockSpace, Skeleton
from nascore.surrogates.peephole import Peephole
from nascore.tables.make import SKELETON, blocks
from nascore.trial import Agent, Evaluation, Job, Trial

TABLE = read_table(tables.BLOCKS)
SPACE = BlockSpace(tables.MAX_LAYERS)
SCORES = TableEvaluator(TABLE, "short")
CONFIG = replace(methods.config("faster_blockqnn"), max_layers=tables.MAX_LAYERS)


@dataclass
class Counting:
    """The table, and what was looked up in it."""

    seen: list[str] = field(default_factory=list)

    def key(self, architecture: Architecture) -> str:
        return SCORES.key(architecture)

    def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
        self.seen += [job.architecture.hash for job in jobs]
        return SCORES.evaluate(jobs)


def searched(agent: Agent, trials: int, batch: int, seed: int) -> tuple[list[Trial], list[str]]:
    """The trials on the table, and the blocks that were truly trained."""
    evaluator = Counting()
    stage = AskTell(agent, evaluator, CONFIG.reward(), trials, batch=batch)
    return list(Search("table", {}, "table", seed, [stage])), evaluator.seen


def faster(seed: int, **changes: Any) -> tuple[list[Trial], list[str], int]:
    config = replace(CONFIG, **changes)
    agent = faster_blockqnn.agent(config, SPACE, seed, SCORES.known)
    return *searched(agent, config.trials, config.batch, seed), agent.drawn


def test_1_the_share_that_is_truly_trained() -> None:
    config = replace(CONFIG, trials=20, share=0.1)
    trials, trained, drawn = faster(0, trials=20, share=0.1)
    assert drawn >= config.blocks == 200
    assert len(trained) == len(set(trained)) == len(trials) == 20
    assert len(trained) / drawn <= config.share
    shown = faster_blockqnn.figures(config, trials)
    assert shown["truly trained blocks"] == 20
    assert shown["drawn blocks"] == 200
    assert shown["share truly trained"] == 0.1
    assert 0 < shown["mean error of predictions"] < 0.5
    assert methods.config("faster_blockqnn", "paper").blocks == pytest.approx(11_392, rel=1e-2)


def test_2_held_out_blocks_are_ordered_better_than_by_size() -> None:
    """All blocks with a layer, half of them held out; also among those with a convolution."""
    torch.set_num_threads(1)
    measured = [block for block in blocks(tables.MAX_LAYERS) if block.graph.layers()]
    rows = [TABLE[block.hash] for block in measured]
    truth = np.array([(row["short_val_0"] + row["short_val_1"]) / 2 for row in rows])
    numbers = np.array([(6, row["params"], row["macs"]) for row in rows])
    convs = np.array([any(row[1] == 1 for row in block.code) for block in measured])
    order = np.random.default_rng(0).permutation(len(rows))
    known, held_out = order[: len(order) // 2], order[len(order) // 2 :]
    settings = vars(CONFIG.predictor) | {"hidden": 64, "lr": 5e-3}
    model = Peephole(tables.MAX_LAYERS, 0, **settings)
    model.fit([measured[i] for i in known], numbers[known], truth[known])
    guess, _ = model.predict([measured[i] for i in held_out], numbers[held_out])
    wanted = truth[held_out]
    assert ((guess - wanted) ** 2).mean() < 0.1 * wanted.var()  # R^2 above 0.9
    for mask in (np.ones(len(held_out), bool), convs[held_out]):
        tau = stats.kendalltau(guess[mask], wanted[mask]).statistic
        assert tau >= 0.5
        for size in numbers[held_out][mask, 1:].T:
            assert tau > stats.kendalltau(size, wanted[mask]).statistic


def test_3_the_same_reward_by_a_quarter_of_the_trainings() -> None:
    """Means over seeds; random search at that quarter fails it."""
    full, ours, chance = [], [], []
    for seed in range(100, 103):
        config = replace(methods.config("blockqnn"), max_layers=tables.MAX_LAYERS)
        trials, trained = searched(blockqnn.agent(config, SPACE, seed), config.trials, 8, seed)
        full.append(best(trials))
        n = len(trained) // 4
        trials, trained, _ = faster(seed, trials=n, warm_up=8)
        assert len(trained) <= n
        ours.append(best(trials))
        trials, trained = searched(Random(SPACE, seed), 200, 1, seed)
        chance.append(best([t for t in trials if t.architecture.hash in trained[:n]]))
    assert np.mean(ours) >= 0.99 * np.mean(full) > np.mean(chance)


def best(trials: Sequence[Trial]) -> float:
    return max(trial.reward for trial in trials)


def test_4_unseen_layers_and_the_largest_index() -> None:
    space = BlockSpace(23)
    model = Peephole(
        23, 0, embedding=4, hidden=8, members=2, epochs=5, batch=8, lr=1e-2, weight_decay=0.0
    )
    chain = space.architecture([(i, 1, 3, i - 1, 0) for i in range(1, 24)])
    pool = space.architecture("[(1,2,3,0,0)]")
    model.fit([chain, pool], [[12, 1e5, 1e7], [12, 1e3, 1e5]], [0.9, 0.2])
    others = ["[(1,1,5,0,0),(2,3,1,0,0),(3,6,0,1,2)]", "[(1,4,0,0,0),(2,5,0,0,1),(3,1,1,2,0)]"]
    twins = ["[(1,1,3,0,0),(2,1,5,0,0)]", "[(1,1,5,0,0),(2,1,3,0,0)]"]
    found = [space.architecture(code) for code in (*others, *twins)]
    mean, _ = model.predict(found, [[12, 1e4, 1e6]] * 4)
    assert np.isfinite(mean).all()
    assert mean[2] == mean[3]


def test_5_predicted_and_measured_accuracies_are_apart() -> None:
    settings = (*TINY["block"], *QUICK["faster_blockqnn"], "trials=6", "batch=2", "refit_every=2")
    config = methods.with_settings(methods.config("faster_blockqnn"), settings)
    trials = list(methods.build("faster_blockqnn", tasks.load("digits"), config, 0))
    searched, final = trials[:6], trials[6:]
    assert any("predicted_accuracy" in trial.metrics for trial in searched)
    for trial in searched:
        assert trial.evaluation.fidelity == "proxy"
        assert trial.metrics.get("predicted_accuracy") == trial.proposal.prediction
        if trial.evaluation.ok:
            assert trial.evaluation.accuracy == trial.metrics["val_accuracy"]
    # What wins was trained in earnest, the best of the search first.
    assert [trial.evaluation.fidelity for trial in final] == ["full"] * 2
    assert all(trial.repeat_of is None for trial in final)
    assert all(trial.metrics["epochs"] >= 2 for trial in final)
    assert not any("predicted_accuracy" in trial.metrics for trial in final)
    ranked = sorted(searched, key=lambda t: t.reward, reverse=True)
    assert final[0].architecture == ranked[0].architecture


def test_penalties_apply_to_predictions() -> None:
    agent = predicted_rewards(0, kappa=2.0)
    history(agent, [4] * 4)
    assert agent.predictor.fitted
    for name, (mean, std) in agent._guesses.items():
        value, upper = agent._values[name]
        costs = agent._costs[name].metrics

        def reward(accuracy: float, costs: Any = costs) -> float:
            penalty = np.log(2 * costs["macs"] / 1e6) + 8 * np.log(costs["density"])
            return float(max(0.0, 100 * accuracy - penalty))

        assert value == pytest.approx(reward(mean))
        assert upper == pytest.approx(reward(min(1.0, mean + 2 * std)))
    empty = SPACE.architecture("[(1,7,0,0,0)]").hash
    assert agent._values.get(empty, (0.0, 0.0)) == (0.0, 0.0)


def test_it_learns_from_all_blocks_and_trains_the_promising() -> None:
    agent = predicted_rewards(3, chance=0.0, trials=300, trained=30)
    history(agent, [5] * 2)
    before, pool = len(agent._memory), [n for n in agent._found if agent._trainable(n)]
    [proposal] = agent.ask(1)
    assert len(agent._memory) - before > 10  # of this group
    name = proposal.architecture.hash
    pool += [n for n in agent._found if agent._trainable(n)]
    assert agent._values[name][1] == max(agent._values[n][1] for n in [*pool, name])
    assert proposal.prediction == agent._guesses[name][0]
    assert 0 <= proposal.prediction <= 1


def test_a_run_goes_on_from_a_kept_state_as_if_it_had_not_stopped() -> None:
    config = replace(CONFIG, trials=30, share=0.1)

    def search() -> Search:
        agent = faster_blockqnn.agent(config, SPACE, 0, SCORES.known)
        stage = AskTell(agent, SCORES, config.reward(), 30, batch=2, snapshot_every=6)
        return Search("table", {}, "table", 0, [stage])

    with Store.create(None, search().meta) as store:
        before = list(islice(search().run(store), 20))
        assert store.last_snapshot(0)
        assert before + list(search().run(store)) == list(search())


def test_settings_that_make_no_sense() -> None:
    wrong = [("share", 0.0), ("share", 1.5), ("warm_up", 0), ("top", 0), ("chance", 2.0)]
    for name, value in (*wrong, ("kappa", -1.0)):
        with pytest.raises(ValueError, match=f"{name}={value}"):
            replace(CONFIG, **{name: value})
    with pytest.raises(ValueError, match="trained=9 must be at most trials=8"):
        predicted_rewards(0, trials=8, trained=9)
    with pytest.raises(ValueError, match="chance=2"):
        predicted_rewards(0, chance=2.0)


def test_costs_of_blocks_are_known_without_the_table() -> None:
    trained = TrainEvaluator(tasks.load("digits"), SKELETON, CONFIG.recipe)
    for block in blocks(2)[::7]:
        ours, theirs = trained.known(block), SCORES.known(block)
        assert (ours.status, ours.message) == (theirs.status, theirs.message)
        for name, value in theirs.metrics.items():
            assert ours.metrics[name] == pytest.approx(value, abs=1e-4)


def test_finalists() -> None:
    def run(n: int, store: Store) -> list[Trial]:
        first = AskTell(Random(SPACE, 0), SCORES, CONFIG.reward(), 3)
        last = Finalists(TableEvaluator(TABLE, "long"), CONFIG.reward(), n)
        return list(Search("table", {}, "table", 0, [first, last]).run(store))

    with Store.create(None, Search("table", {}, "table", 0, []).meta) as store:
        trials = run(4, store)
        assert run(4, store) == []  # it is complete
        assert store.trials() == trials
    ranked = sorted((t for t in trials[:3] if t.evaluation.ok), key=lambda t: -t.reward)
    good = list(dict.fromkeys(trial.architecture for trial in ranked))
    assert [t.architecture for t in trials[3:]] == (good * 4)[:4]
    assert [t.repeat_of is None for t in trials[3:]] == [i < len(good) for i in range(4)]
    with pytest.raises(ValueError, match="trials=0"):
        Finalists(SCORES, CONFIG.reward(), 0)


def test_no_finalist_where_every_trial_failed() -> None:
    class Failing(Counting):
        def evaluate(self, jobs: Sequence[Job]) -> list[Evaluation]:
            return [failed("error", "too wide") for _ in jobs]

    first = AskTell(Random(SPACE, 0), Failing(), CONFIG.reward(), 3)
    stages = [first, Finalists(SCORES, CONFIG.reward(), 2)]
    with pytest.raises(RunError, match="none of 3 trials succeeded"):
        list(Search("table", {}, "table", 0, stages).run())


def test_depthwise_variant() -> None:
    block = BlockSpace(3).architecture("[(1,1,5,0,0),(2,1,1,1,0),(3,2,3,2,0)]")
    plain = Skeleton(stem_width=8, blocks=1, widths=(8,))
    nets = [s.expand(block, (1, 8, 8), 10) for s in (plain, replace(plain, depthwise=True))]
    assert nets[0].params - nets[1].params == 8 * 8 * 25 - (8 * 25 + 8 * 8)
    config = methods.with_settings(
        methods.config("faster_blockqnn"),
        (*TINY["block"], *QUICK["faster_blockqnn"], "trials=4", "skeleton.depthwise=true"),
    )
    trials = list(methods.build("faster_blockqnn", tasks.load("digits"), config, 1))
    assert any(trial.evaluation.ok for trial in trials)
    shape = tasks.load("digits").shape
    for trial in trials:
        if trial.evaluation.ok:
            net = config.skeleton.expand(trial.architecture, shape, 10)
            assert trial.metrics["params"] == net.params
