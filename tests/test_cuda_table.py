"""The table of the CUDA kernels' resources is that of this build."""

from __future__ import annotations

import pytest

pytest.importorskip("nascore._cuda", reason="built without CUDA: no nvcc, or turned off")

import cuda_table

pytestmark = pytest.mark.skipif(
    cuda_table.missing() is not None, reason=f"cannot look into the kernels: {cuda_table.missing()}"
)


@pytest.fixture(scope="module")
def rows() -> list[cuda_table.Row]:
    return cuda_table.rows()


def test_the_table_is_up_to_date(rows: list[cuda_table.Row]) -> None:
    written = cuda_table.TABLE.read_text()
    if written.split()[2] != cuda_table.compiler():
        pytest.skip(f"written by nvcc {written.split()[2]}, this is {cuda_table.compiler()}")
    assert cuda_table.as_csv(rows) == written, "make cuda-table"
    assert cuda_table.page(rows) == cuda_table.PAGE.read_text(), "make cuda-table"


def test_no_kernel_spills_and_wide_ones_are_wide(rows: list[cuda_table.Row]) -> None:
    assert {row["architecture"] for row in rows} == {"80", "90"}
    for row in rows:
        assert row["spills"] == "0", row
        assert int(row["blocks"]) >= 2, row
        narrow = row["variant"] == "narrow" or row["kernel"] == "mask_gradient_kernel"
        assert (int(row["loads_16"]) > 0) is not narrow, row


def test_there_is_code_for_later_devices() -> None:
    assert ".target sm_90" in cuda_table.dump("-ptx")


def test_every_kernel_has_an_example(rows: list[cuda_table.Row]) -> None:
    examples = {(w.kernel, w.variant) for _, group in cuda_table.all_works() for w in group}
    assert {(r["kernel"], r["variant"]) for r in rows if r["variant"] != "narrow"} == examples
