"""What settings mean, where their comment leaves it open, and where the papers' values are from.

`CHOICE` is nascore's own value: the paper gives none, or its text was not readable to us.
`SECONDARY` is one on which reviews and re-implementations agree, while we could not read it in the
paper itself. A † follows numbers of sections and tables that are from memory, unlike the value. A
test asks for both, meaning and source, of every setting.
"""

from __future__ import annotations

CHOICE = "choice"
SECONDARY = "secondary"
CODE = "released code"

# By the longest end of a key that is here.
MEANINGS = {
    "trials": "architectures that are evaluated",
    "batch": "architectures proposed at once",
    "in_flight": "further proposals that go out before the first of them is told",
    "time_limit_s": "seconds of one training, after which it has failed",
    "limits.params": "most parameters of a candidate",
    "limits.macs": "most multiply-adds of a candidate",
    "limits.peak_bytes": "most memory that a candidate may need",
    "floor": "least reward",
    "space": "what is searched; [the settings of each](../spaces.md)",
    "epsilon": "share of random decisions, × how many trials each holds",
    "alpha": "learning rate of the Q values",
    "gamma": "discount of later rewards",
    "initial_q": "value of what was never tried",
    "replay": "stored episodes that are learned again",
    "shaping": "whether every step is rewarded",
    "skeleton.stem_width": "channels of the first convolution",
    "skeleton.stem_stride": "its stride",
    "skeleton.stem_pool": "whether a pooling follows it",
    "skeleton.stem_cells": "Reduction cells before the first group (ImageNet: 2)",
    "skeleton.reductions": "Reduction cells between the groups",
    "skeleton.auxiliary": "whether there is an auxiliary head",
    "skeleton.normal": "Normal cells in each group",
    "skeleton.filters": "channels of the first group",
    "skeleton.blocks": "repeats in each group",
    "skeleton.widths": "channels of each group",
    "skeleton.depthwise": "whether convolutions are depthwise separable",
    "skeleton.dropout": "dropout that grows with depth, after every second layer",
    "skeleton.kind": "of modules: ResNet or ResNeXt",
    "skeleton.across": "whether connections cross from group to group",
    "skeleton.branches": "branches of a module",
    "skeleton.bottleneck": "width of a branch",
    "epochs": "passes over the training images",
    "recipe.batch": "images per step",
    "final.batch": "images per step",
    "training.batch": "images per step",
    "relaxed.batch": "images per step",
    "learn.batch": "images per step",
    "tune.batch": "images per step",
    "agent.batch": "architectures per step of the predictor",
    "predictor.batch": "architectures per step",
    "optimizer": "sgd or adam",
    "lr": "learning rate",
    "momentum": "momentum",
    "nesterov": "Nesterov's momentum",
    "weight_decay": "weight decay",
    "schedule": "how the learning rate falls",
    "drops": "fractions of the epochs",
    "drop_factor": "by which the rate falls at a drop",
    "restarts": "new beginnings",
    "restart_factor": "by which the rate falls then",
    "init": "how weights are drawn",
    "label_smoothing": "share of a label that all classes get",
    "drop_path_keep": "share of paths that is kept",
    "threads": "threads of a training",
    "max_layers": "longest architecture",
    "widths": "channels to choose from",
    "dense": "units of dense layers to choose from",
    "heights": "heights of filters to choose from",
    "skip.widths": "widths of filters to choose from",
    "strides": "strides to choose from",
    "filters": "channels to choose from",
    "depths": "layers of the first networks, of later ones, and so on",
    "deeper_every": "networks until they get deeper",
    "power": "exponent",
    "blocks": "blocks of a cell",
    "ops": "operations to choose from",
    "combine": "ways to join two states",
    "max_nodes": "most nodes of a cell",
    "max_edges": "most edges of a cell",
    "nodes": "nodes of a block",
    "dag.kind": "cells with edges, or blocks of summing nodes",
    "kind": "cells with edges, or blocks of summing nodes",
    "fan_in": "how many inputs a module reads",
    "scales": "sizes of feature maps",
    "budget": "multiply-adds over which accuracy is averaged",
    "units": "units of the recurrent controller",
    "controller.init": "its weights are drawn from -init to init",
    "controller.lr": "its learning rate",
    "controller.epochs": "steps of PPO for each batch",
    "clip": "bound",
    "entropy": "reward of an undecided policy",
    "baseline": "moving average of rewards, which is subtracted",
    "population": "members that are alive",
    "sample": "members that compete to be the parent",
    "prefix": "only codes that begin so are proposed",
    "warm_epochs": "shorter training with inherited weights",
    "agent.rule": "how a child is chosen: ucb1, or puct with a prior",
    "agent.target": "what the predictor learns: the reward, or its rank",
    "agent.hidden": "widths of the predictor's layers",
    "agent.epochs": "passes over what is known at each training of the predictor",
    "agent.bayesian": "whether the output layer is Bayesian",
    "agent.stages": "stages of the predictor, from coarse to fine",
    "predictor.embedding": "width of an embedded layer code",
    "predictor.hidden": "units of the LSTM",
    "predictor.members": "predictors whose spread is the doubt",
    "share": "of the drawn blocks that is truly trained",
    "chance": "probability",
    "kappa": "how daring the choice of what to train is",
    "top": "architectures that are trained in the end",
    "version": "Q-learning, or gradients of a relaxed block",
    "expert": "whose block shows the way",
    "learner": "how the policy learns: reinforce or actor_critic",
    "irlas.learner": "how w is learned: max-margin or projection",
    "choices_decay": "weight decay of these choices",
    "design.schedule": "in which order nodes are updated",
    "design.decoder": "what makes weights of an embedding",
    "design.passes": "passes of the messages through the graph",
    "mask_lr": "learning rate of the masks",
    "sampling": "k of n without replacement, or each mask for itself",
    "removal": "share of the trials that removes layers",
    "teacher": "a ResNet or VGG that is trained first, or the folder of a model",
    "teacher_mean": "mean of its images",
    "teacher_std": "deviation of its images",
    "n2n.blocks": "blocks of each group of the teacher",
    "n2n.widths": "channels of each group of the teacher",
    "distillation.loss": "on the teacher's logits",
    "distillation.temperature": "temperature",
    "distillation.hard": "share of the loss on labels",
    "descriptions": "how layers are described: raw numbers",
    "removal_lr": "learning rate of the policy that removes layers",
    "shrinkage_lr": "learning rate of the policy that shrinks them",
    "max_params": "most parameters of a student",
    "min_accuracy": "least accuracy of a student",
    "min_width": "least channels of a shrunk layer",
    "students": "finalists",
}
# Those of a controller, by method, since a recipe has settings of the same names.
CONTROLLERS = {"nasnet": ("init", "lr", "epochs"), "nas_rl": ("init", "lr")}

GROUPS = {
    "recipe": "the short training of a candidate",
    "final": "the training of `retrain`",
    "skeleton": "the network around what is searched",
    "final_skeleton": "the network that `retrain` trains",
    "limits": "what is too large to be built",
    "agent": "the tree and its predictor",
    "predictor": "the network that predicts accuracies",
    "top_recipe": "the longer training of the best blocks",
    "relaxed": "the training of the relaxed block",
    "design": "the hypernetwork",
    "training": "the training of the hypernetwork",
    "learn": "masks and weights together",
    "tune": "the weights, with the masks frozen",
    "teacher_recipe": "the training of the teacher",
    "distillation": "the loss of a student",
    "dag": "the blocks that are searched",
}

_BLOCK = {
    "": SECONDARY,
    "mu": "equation 7; its value: secondary",
    "rho": "equation 7; its value: secondary",
    "shaping": "equation 6",
    "initial_q": CHOICE,
    "skeleton.stem": CHOICE,
    "skeleton.depthwise": "off, as in the CVPR paper",
    "recipe.momentum": "not used by Adam",
    "recipe.nesterov": "not used by Adam",
}
_LAYER = {
    "max_layers": "section 4.1 †",
    "widths": "table 1 †",
    "dense": "table 1 †",
    "strict": "off, as in the paper; on in the released code",
    "skeleton.dropout": "section 5 †",
    "recipe": "section 5 †",
    "recipe.weight_decay": CODE,
    "final": "the paper's schedule; optimizer and decay: released code",
}
_CELL = {
    "blocks": "section 3 †",
    "ops": "section 3 †",
    "combine": "section 3 †",
    "all_outputs": "off; appendix B for NASNet-B",
    "skeleton": "section 3 †",
    "skeleton.normal": "appendix A: N = 2 in the search",
    "skeleton.filters": CHOICE,
    "skeleton.stem_width": CODE,
    "final_skeleton": CODE,
    "recipe": CHOICE,
    "recipe.epochs": "appendix A: 20 epochs",
    "recipe.schedule": "appendix A: one period of a cosine",
    "recipe.momentum": "appendix A; its value: choice",
    "final": CODE,
}
_SKIP = {
    "": "section 4.1 †",
    "skeleton": "section 3.3 †",
    "strides": "section 4.1 †, the space without strides",
    "recipe.batch": CHOICE,
    "recipe.clip": CHOICE,
    "final": "choice; the paper searches a small grid",
}
_MASKS = {
    "fan_in": "Connectivity Learning (2017): K = 4 of 8",
    "skeleton": "Connectivity Learning (2017): {29, 8, 8}",
    "skeleton.across": CHOICE,
}
_EDGES = {
    "": CHOICE,
    "max_nodes": "NAS-Bench-101",
    "max_edges": "NAS-Bench-101",
    "erasing": "off; AlphaX's released code has it on",
    "nodes": "GHN, section 5.1.1",
}
_LOOP = {"trials": CHOICE, "batch": CHOICE, "space": CHOICE}

# By the longest beginning of a key that is here.
SOURCES: dict[str, dict[str, str]] = {
    "blockqnn": _BLOCK,
    "faster_blockqnn": {
        **_BLOCK,
        **dict.fromkeys(
            ("trials", "batch", "warm_up", "refit_every", "chance", "kappa", "top"), CHOICE
        ),
        "share": "abstract: 20 hours of a GPU instead of 3 days of 32",
        "predictor": CHOICE,
        "predictor.embedding": "Peephole (Deng et al., 2017)",
        "top_recipe": CHOICE,
    },
    "irlas": {
        **_BLOCK,
        **dict.fromkeys(("version", "topology", "margin", "learner"), CHOICE),
        "expert": "abstract",
        "relaxed": "DARTS (Liu et al., 2019)",
        "choices": "DARTS (Liu et al., 2019)",
    },
    "metaqnn": {
        **_LAYER,
        "trials": "table 2 †",
        "epsilon": "table 2 †",
        "alpha": "section 4.3 †",
        "gamma": "section 4.3 †",
        "replay": "section 4.3 †",
        "initial_q": "appendix D",
    },
    "nasnet": {
        **_CELL,
        **dict.fromkeys(
            ("trials", "batch", "in_flight", "units", "init", "entropy", "baseline"), "appendix A.2"
        ),
        "lr": "appendix A.2; that it is Adam's: choice",
    },
    "nas_rl": {**_SKIP, "baseline": "choice, from NASNet's appendix A.2"},
    "alphax": {
        **_LOOP,
        "trials": "abstract",
        "prefix": "nascore's own",
        "agent": CHOICE,
        **dict.fromkeys(
            [
                f"agent.{name}"
                for name in (
                    *("rule", "c", "completions", "choice", "retrain_every", "hidden", "epochs"),
                    *("batch", "lr", "fresh", "open_after", "transpositions"),
                )
            ],
            CODE,
        ),
    },
    "ghn": {
        **_LOOP,
        "space": "section 5.1.1",
        "trials": "section 5.1.1",
        "top": "section 5.1.1",
        "train_nodes": "section 5.1.1",
        "dag": CHOICE,
        "dag.kind": "equation 7",
        "dag.nodes": "section 5.1.1",
        "dag.skeleton": "section 5.1.1",
        "dag.skeleton.stem": CHOICE,
        "design": "section 5.1.1",
        "design.one_hot": "section 4.2 has both",
        "design.schedule": "equation 15",
        "design.stacked": "equations 12 to 14",
        "design.passing": "equations 12 to 14",
        **dict.fromkeys(
            [f"design.{name}" for name in ("longest", "fan_in", "shapes", "layer_norm")],
            "off; GHN-2 (Knyazev et al., 2021) has it",
        ),
        "design.kernel": CHOICE,
        "design.channels": CHOICE,
        "training": "GHN-2 (Knyazev et al., 2021)",
        "meta_batch": "GHN-2's paper: 1 for GHN-1",
        "test_batch": "GHN-2's released code",
    },
    "maskconnect": {
        **_MASKS,
        "sampling": SECONDARY,
        "learn": CHOICE,
        "tune": CHOICE,
        "final": CHOICE,
    },
    "n2n": {
        "": CODE,
        **dict.fromkeys(("students", "final", "teacher_recipe", "entropy"), CHOICE),
        **dict.fromkeys(("teacher", "blocks", "widths"), "a ResNet-34, of the paper's teachers"),
        "teacher_mean": "nascore's own",
        "teacher_std": "nascore's own",
        "max_params": "none; the constrained reward has one",
        "min_accuracy": "none; the constrained reward has one",
        "descriptions": "the released code's raw numbers",
    },
    "evolution": {
        **_LOOP,
        "population": "Real et al. (2019): P",
        "sample": "Real et al. (2019): S",
    },
    "random": _LOOP,
    "space block": _BLOCK,
    "space layer": _LAYER,
    "space cell": _CELL,
    "space skip": _SKIP,
    "space dag": _EDGES,
    "space connection": {"": CHOICE, **_MASKS},
    "space anytime": {
        "": CHOICE,
        "nodes": "GHN, section 5.2",
        "final": "Huang et al. (2018), with whom the paper compares",
    },
}


def meaning(name: str, key: str, remark: str) -> str:
    """What a setting is; empty where neither its comment nor this file says it."""
    keys = [f"{name.removeprefix('space ')}.{key}", key]
    if key in CONTROLLERS.get(name, ()):
        keys = [f"controller.{key}"]
    parts = [part for full in keys for part in _ends(full)]
    known = next((MEANINGS[part] for part in parts if part in MEANINGS), "")
    return f"{known}: {remark}" if known and remark else known or remark


def source(name: str, key: str, choice: bool) -> str:
    """Where the paper's value of a setting is from; empty where this file does not say it."""
    if name in SOURCES:
        for start in sorted(SOURCES[name], key=len, reverse=True):
            if start and key.startswith(start) and not key.endswith(".threads"):
                return SOURCES[name][start]
    ours = ("limits", "in_flight", "floor", "time_limit_s")
    if choice or key.startswith(ours) or key.endswith(".threads"):
        return CHOICE
    return SOURCES.get(name, {}).get("", "")


def group(name: str) -> str:
    """What a group of settings is for."""
    return GROUPS.get(name.rpartition(".")[2], "")


def _ends(key: str) -> list[str]:
    parts = key.replace("final_skeleton", "skeleton").split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]
