"""Writes cuda/resources.csv, what each kernel takes of a processor, as read from the built module,
and docs/cuda.md, which holds the same and what it must move and do.

Needs nvcc and the tools of `pip install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm`.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cuda_work import BANDWIDTH, BYTES, FLOATS, Work, draws, works
from cuda_work_training import training
from nascore import _cuda

ROOT = Path(__file__).parents[1]
TABLE, PAGE = ROOT / "cuda/resources.csv", ROOT / "docs/cuda.md"
COLUMNS = (
    *("kernel", "type", "variant", "architecture", "threads", "registers", "spills"),
    *("static_shared", "dynamic_shared", "loads_16", "stores_16", "blocks", "occupancy"),
)
DEVICES = {"80": "A100", "90": "H100"}
Row = dict[str, str]


def missing() -> str | None:
    """Why this machine cannot write the table."""
    if shutil.which("nvcc") is None:
        return "no nvcc"
    for package in ("nvidia-cuda-cuobjdump", "nvidia-cuda-nvdisasm"):
        try:
            importlib.metadata.files(package)
        except importlib.metadata.PackageNotFoundError:
            return f"no {package}"
    return None


def compiler() -> str:
    """The version of nvcc, by which all figures of the table change."""
    told = run("nvcc", "--version")
    found = re.search(r"V([\d.]+)", told)
    assert found is not None, told
    return found[1]


def run(*command: str, said: str = "", path: str = "") -> str:
    """What a program writes that is told `said`."""
    environment = {**os.environ, "PATH": os.pathsep.join([path, os.environ["PATH"]])}
    return subprocess.run(
        command, input=said, env=environment, capture_output=True, text=True, check=True
    ).stdout


def folder_of(tool: str) -> Path:
    files = importlib.metadata.files(f"nvidia-cuda-{tool}") or []
    return next(Path(str(f.locate())) for f in files if f.name == tool).parent


def dump(option: str) -> str:
    """What cuobjdump says of the module, with the names of C++."""
    cuobjdump = folder_of("cuobjdump") / "cuobjdump"
    said = run(str(cuobjdump), option, _cuda.__file__, path=str(folder_of("nvdisasm")))
    return run("c++filt", said=said)


def split_name(name: str) -> tuple[str, str, str]:
    """`void nascore::(anonymous namespace)::k<float, true>(...)` -> k, float, wide."""
    found = re.search(r"(\w+)(?:<(\w+)(?:, (\w+))?>)?\((?!anonymous)", name)
    assert found is not None, name
    variant = found[3] or ""
    told = {"": "", "true": "wide", "false": "narrow"}.get(variant, f"{variant} outs")
    return found[1], found[2] or "", told


def sections(text: str, marker: str) -> Iterator[tuple[str, str, str]]:
    """Architecture, name and text of each kernel."""
    for file in re.split(r"^arch = sm_", text, flags=re.MULTILINE)[1:]:
        for part in file.split(marker)[1:]:
            name, _, body = part.partition("\n")
            yield file[:2], name, body


INSTRUCTION = re.compile(r"^\s+/\*\w+\*/\s+(?:@!?U?P\w+ )?([\w.]+)", re.MULTILINE)


def rows() -> list[Row]:
    """One of each kernel and architecture, sorted."""
    threads = {
        split_name(name): re.findall(r"\.maxntid (\d+)", body)[0]
        for _, name, body in sections(dump("-ptx"), ".entry ")
    }
    code = {
        (architecture, split_name(name)): INSTRUCTION.findall(body)
        for architecture, name, body in sections(dump("-sass"), "Function : ")
    }
    dynamic = {
        (work.kernel, 2 if dtype == "bfloat16" else 4, work.variant): work.shared
        for dtype, group in all_works()
        for work in group
    }
    found = []
    for architecture, name, body in sections(dump("-res-usage"), "Function "):
        kernel = split_name(name)
        used = dict(re.findall(r"(\w+):(\d+)", body.partition("\n")[0]))
        # For sm_90 it counts the kilobyte that the driver takes, which the rules add themselves.
        static = max(0, int(used["SHARED"]) - (1024 if architecture == "90" else 0))
        wide = [i for i in code[architecture, kernel] if ".128" in i]
        local = [i for i in code[architecture, kernel] if i.startswith(("STL", "LDL"))]
        values = (
            *(*kernel, architecture, threads[kernel], used["REG"], len(local)),
            # Narrow ones have none.
            *(static, dynamic.get((kernel[0], BYTES.get(kernel[1], 4), kernel[2]), 0)),
            # Into registers or shared memory; without G of what may be shared memory itself.
            sum(i.startswith(("LDG", "LD.")) for i in wide),
            sum(i.startswith(("STG", "ST.")) for i in wide),
        )
        found.append(dict(zip(COLUMNS, map(str, values), strict=False)))
    for row, blocks in zip(found, occupancies(found), strict=True):
        row["blocks"] = str(blocks)
        row["occupancy"] = f"{blocks * int(row['threads']) / 2048:.2f}"
    return sorted(found, key=lambda row: [row[c] for c in COLUMNS[:4]])


def occupancies(kernels: list[Row]) -> list[int]:
    """Blocks of each kernel on one multiprocessor."""
    columns = ("architecture", "registers", "static_shared", "dynamic_shared", "threads")
    lines = "\n".join(" ".join(row[c] for c in columns) for row in kernels)
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/occupancy"
        # nvcc knows where CUDA's headers are.
        run("nvcc", "-o", program, str(ROOT / "tests/cuda_occupancy.cpp"))
        return [int(line) for line in run(program, said=lines).split()]


def all_works() -> list[tuple[str, list[Work]]]:
    """By type."""
    return [
        ("", draws()),
        ("float", [*works("float"), *training("float")]),
        ("bfloat16", [*works("__nv_bfloat16"), *training("__nv_bfloat16")]),
    ]


def as_csv(table: list[Row]) -> str:
    text = io.StringIO(f"# nvcc {compiler()}\n")
    text.seek(0, io.SEEK_END)
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def as_table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rule = ("---",) * len(header)
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, rule, *lines))


def page(table: list[Row]) -> str:
    """docs/cuda.md."""
    examples = [
        (
            *(f"`{work.kernel}`", work.variant, dtype, work.example, str(work.blocks)),
            *(f"{amount / 1e6:.3g}" for amount in (*work.bytes, *work.operations)),
            f"{work.seconds * 1e6:.3g}",
        )
        for dtype, group in all_works()
        for work in group
    ]
    resources = [
        (
            *(f"`{row['kernel']}`", row["type"].removeprefix("__nv_").strip("_"), row["variant"]),
            *(DEVICES[row["architecture"]], row["threads"], row["registers"], row["spills"]),
            f"{row['static_shared']} + {row['dynamic_shared']}",
            *(row["loads_16"], row["stores_16"], row["blocks"], row["occupancy"]),
        )
        for row in table
    ]
    return TEXT_OF_PAGE.format(
        compiler=compiler(),
        bandwidth=BANDWIDTH / 1e12,
        floats=FLOATS / 1e12,
        works=as_table(
            (
                *("kernel", "variant", "type", "example", "blocks", "fewest MB", "moved MB"),
                *("fewest Mop", "done Mop", "predicted us"),
            ),
            examples,
        ),
        resources=as_table(
            (
                *("kernel", "type", "variant", "on", "threads", "registers", "spills"),
                *("shared bytes", "16-byte loads", "16-byte stores", "blocks", "occupancy"),
            ),
            resources,
        ),
    )


TEXT_OF_PAGE = """# The CUDA kernels

Written by `make cuda-table` (nvcc {compiler}); nothing on this page was measured. There is code for
sm_80 and sm_90, and PTX for what comes after.

## What an example takes

*Fewest* is what any kernel must move between memory and processor, each number once, and the
operations of the definition. *Moved* counts what the blocks ask for, borders and weights of each
block included, much of which the second cache answers; *done* counts the padding of channels to
what a block computes. The time is **predicted** for an H100 SXM from its data sheet: the larger of
what is moved at {bandwidth:.2f} TB/s and what is done at {floats:.0f} TFLOP/s, or a quarter of that
for the integers of the draws, in whole rounds of blocks. Latency, launches, and waits for shared
memory come on top. Types of 16 bits are computed in float32, without tensor cores.

{works}

In training, separable convolutions with batch norm run on the kernels from `sep_conv_norm` on where
`nascore.networks.modules.SepConv.fused_on_cuda` is set to True. As no device has timed them it is
False, and torch's run.

## What a kernel takes of a processor

Registers, spills (instructions on local memory) and 16-byte accesses are read from the machine
code. *Wide* kernels are for sizes and addresses that are multiples of 16 bytes, *narrow* ones for
all; convolutions compute 32 or 64 output channels at once, whichever pads less.
Shared memory is static and, for the example above, dynamic; blocks are those that one
multiprocessor holds, and occupancy is their share of its 2,048 threads, by CUDA's own rules.

{resources}
"""


if __name__ == "__main__":
    table = rows()
    TABLE.write_text(as_csv(table))
    PAGE.write_text(page(table))
