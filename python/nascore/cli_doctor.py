"""The command `nascore doctor`."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from rich.text import Text

import nascore
from nascore.cli_parts import out
from nascore.files import cache_folder

# What a user may add, and for what; `pip install 'nascore[NAME]'`.
EXTRAS = {
    "data": "Hugging Face data sets, folders of images and parquet files",
    "export": "ONNX files of a winner",
    "report": "drawings of architectures and of comparisons",
    "tensorboard": "curves of a search or a training",
    "ray": "workers on many machines",
    "postgres": "a run in a database that a team shares",
}
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?")
_GB = 1 << 30

Row = tuple[str, str, str]  # ok, missing or BROKEN; what; what was found


def doctor() -> None:
    """Say what is installed, compiled and visible, what is missing, and how to get it.

    The exit status is 1 where something is broken, 0 where only something optional is missing.
    """
    there = set(metadata.metadata("nascore").get_all("Provides-Extra", []))
    rows = [
        ("ok", "nascore", f"{nascore.__version__} in {Path(nascore.__file__).parent}"),
        ("ok", "python", f"{platform.python_version()} on {platform.platform()}"),
        *(_tried(name, look) for name, look in _LOOKS.items()),
        *(_extra(name) for name in EXTRAS if name in there),
    ]
    styles = {"ok": "green", "missing": "yellow", "BROKEN": "bold red"}
    for state, what, found in rows:
        out.print(Text.assemble((f"{state:8}", styles[state]), (f"{what:12}", "bold"), found))
    if any(state == "BROKEN" for state, *_ in rows):
        raise SystemExit(1)


def _tried(what: str, look: Callable[[], Row]) -> Row:
    """A look that fails has found something broken, whatever it is."""
    try:
        return look()
    except Exception as error:
        return "BROKEN", what, f"{type(error).__name__}: {error}"


def _core() -> Row:
    from nascore import _core

    return "ok", "core", f"compiled; kernels for {_core.instruction_set()}"


def _torch() -> Row:
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if gpus:
        seen = "; ".join(gpus)
    elif torch.version.cuda is None:
        seen = "no GPU: this build is for CPUs; see pytorch.org for one with CUDA"
    else:
        seen = f"no GPU visible to its CUDA {torch.version.cuda}; see what nvidia-smi says"
    needs = _missing("torch", None)
    wrong = f"; needed: {', '.join(needs)}" if needs else ""
    return "BROKEN" if needs else "ok", "torch", f"{torch.__version__}; {seen}{wrong}"


def _kernels() -> Row:
    """Whether a network run by the core's kernels gives what torch gives."""
    import torch

    from nascore.networks.build import build_net

    skeleton = nascore.Skeleton.small()
    network = build_net(skeleton.expand(skeleton.simplest, (1, 8, 8), 10)).eval()
    images = torch.linspace(-1, 1, 128).view(2, 1, 8, 8)
    with torch.inference_mode():
        wanted, got = network(images), nascore.fuse(network)(images)
    off = float((wanted - got).abs().max())
    return "ok" if off < 1e-4 else "BROKEN", "kernels", f"differ from torch by {off:.0e}"


def _openmp() -> Row:
    """Whether torch and the core share one OpenMP, and so one team of threads."""
    import torch  # noqa: F401  # both are to be loaded

    from nascore import _core  # noqa: F401

    maps = Path("/proc/self/maps")
    if not maps.exists():
        return "ok", "openmp", "not looked at: there is no /proc here"
    # scikit-learn has one of its own, under another name.
    ours = r"/\S*/(?:libgomp\.so|nascore\.libs/libgomp)\S*"
    copies = sorted(set(re.findall(ours, maps.read_text())))
    wrong = "; torch and the core have one each: install nascore's wheel or source again"
    several = len(copies) > 1
    return "BROKEN" if several else "ok", "openmp", ", ".join(copies) + wrong * several


def _cuda() -> Row:
    if find_spec("nascore._cuda") is None:
        return (
            "missing",
            "cuda",
            "kernels not built (a GPU trains without them): put nvcc on PATH or set CUDA_HOME, and "
            "install nascore from source",
        )
    from nascore import _cuda

    count = _cuda.device_count()
    return "ok", "cuda", f"kernels built; {count} devices" if count else "kernels built; no device"


def _machine() -> Row:
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = (page * os.sysconf(f"SC_{name}") / _GB for name in ("PHYS_PAGES", "AVPHYS_PAGES"))
    return "ok", "machine", f"{cores} cores; memory {total:.1f} GB, of which {free:.1f} GB are free"


def _cache() -> Row:
    root = cache_folder()
    there = next(path for path in (root, *root.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return "BROKEN", "cache", f"{root} cannot be written; name another: NASCORE_CACHE=FOLDER"
    return "ok", "cache", f"{root}; {shutil.disk_usage(there).free / _GB:.1f} GB are free"


_LOOKS: dict[str, Callable[[], Row]] = {
    "core": _core,
    "torch": _torch,
    "kernels": _kernels,
    "openmp": _openmp,
    "cuda": _cuda,
    "machine": _machine,
    "cache": _cache,
}


def _extra(name: str) -> Row:
    purpose = EXTRAS[name]
    if needs := _missing(None, name):
        how = f"pip install 'nascore[{name}]'  for {purpose} (needs {', '.join(needs)})"
        return "missing", f"[{name}]", how
    return "ok", f"[{name}]", purpose


def _missing(package: str | None, extra: str | None) -> list[str]:
    """The requirements of nascore, of one package or of an extra, that are not fulfilled."""
    wanted = []
    for line in metadata.requires("nascore") or []:
        requirement, _, marker = line.partition(";")
        match = _REQUIREMENT.match(requirement)
        assert match is not None
        name, least = match.groups()
        condition = re.search(r"extra == ['\"](\w+)['\"]", marker)
        if (condition[1] if condition else None) != extra or package not in (None, name):
            continue
        try:
            have = metadata.version(name)
        except metadata.PackageNotFoundError:
            wanted.append(requirement.strip())
            continue
        if least and _numbers(have) < _numbers(least):
            wanted.append(f"{requirement.strip()}, not {have}")
    return wanted


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3]]
