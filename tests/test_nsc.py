"""The Network Structure Code: what is valid, what is said of what is not, and its list form."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph_kit import Code, code_of, mutated, random_code
from nascore import _core

RESIDUAL = "[(1,4,0,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,5,0,1,3),(5,7,0,0,0)]"
seeds = st.integers(0, 2**32 - 1)


def batch(code: Code, slots: int) -> Code:
    padded = np.zeros((1, slots, 5), np.int16)
    padded[0, : len(code)] = code
    return padded


@given(seeds, st.integers(0, 23), st.booleans())
def test_every_walk_of_the_rules_is_valid(seed: int, layers: int, terminal: bool) -> None:
    rng = np.random.default_rng(seed)
    code = random_code(rng, layers)
    if layers:
        code = mutated(code, rng)
    if terminal:
        code = np.concatenate([code, np.array([[layers + 1, 7, 0, 0, 0]], np.int16)])
    assert _core.nsc_message(code) == ""
    assert _core.nsc_validate(batch(code, 24)).tolist() == [0]


@given(seeds, st.integers(1, 8), st.integers(0, 7), st.integers(0, 4), st.integers(-1, 9))
def test_validation_follows_the_rules(
    seed: int, layers: int, row: int, field: int, value: int
) -> None:
    """The rules of the paper's table, written a second time, on codes with one number changed."""
    code = random_code(np.random.default_rng(seed), layers)
    code[row % layers, field] = value
    bad_row = first_bad_row(code.tolist())
    assert _core.nsc_validate(code[None]).tolist() == [bad_row]
    message = _core.nsc_message(code)
    assert message.startswith(f"row {bad_row}: ") if bad_row else message == ""


def first_bad_row(rows: list[list[int]]) -> int:
    ended = False
    for position, (index, kind, kernel, pred1, pred2) in enumerate(rows, start=1):
        if not any((index, kind, kernel, pred1, pred2)):
            ended = True
            continue
        before = range(position)
        fits = {
            1: kernel in (1, 3, 5) and pred1 in before and pred2 == 0,
            2: kernel in (1, 3) and pred1 in before and pred2 == 0,
            3: kernel in (1, 3) and pred1 in before and pred2 == 0,
            4: kernel == 0 and pred1 in before and pred2 == 0,
            5: kernel == 0 and pred1 in before and pred2 in before and pred1 != pred2,
            6: kernel == 0 and pred1 in before and pred2 in before and pred1 != pred2,
            7: kernel == pred1 == pred2 == 0,
        }
        if ended or index != position or not fits.get(kind, False):
            return position
        ended = kind == 7
    return 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[(2,1,3,0,0)]", "row 1: index=2 must be its position 1"),
        ("[(1,8,3,0,0)]", "row 1: type=8 must be from 1 to 7"),
        ("[(1,1,7,0,0)]", "row 1: kernel=7 of conv must be 1, 3 or 5"),
        ("[(1,3,5,0,0)]", "row 1: kernel=5 of avg_pool must be 1 or 3"),
        ("[(1,4,3,0,0)]", "row 1: kernel=3 of identity must be 0"),
        (
            "[(1,1,3,0,0),(2,1,3,1,0),(3,1,3,2,0),(4,1,3,6,0)]",
            "row 4: pred1=6 must be below its own index 4",
        ),
        ("[(1,1,3,-1,0)]", "row 1: pred1=-1 must not be negative"),
        ("[(1,1,3,0,0),(2,5,0,0,2)]", "row 2: pred2=2 must be below its own index 2"),
        ("[(1,1,3,0,0),(2,2,3,0,1)]", "row 2: pred2=1 of max_pool must be 0, it has one predec"),
        ("[(1,1,3,0,0),(2,5,0,1,1)]", "row 2: pred1=1 and pred2=1 of add must differ"),
        ("[(1,7,1,0,0)]", "row 1: a terminal row holds zeros after its type"),
        ("[(1,7,0,0,0),(2,7,0,0,0)]", "row 2: nothing may follow the end of the code"),
    ],
)
def test_a_bad_code_is_told_the_row_and_the_rule(text: str, message: str) -> None:
    code = _core.nsc_parse(text)
    assert _core.nsc_message(code).startswith(message)
    with pytest.raises(ValueError, match="row ") as error:
        _core.Graph.from_nsc(code)
    assert str(error.value) == _core.nsc_message(code)


def test_a_code_has_at_most_32_layers() -> None:
    assert _core.nsc_message(code_of([(1, 3, 0, 0)] * 32)) == ""
    assert _core.nsc_message(code_of([(1, 3, 0, 0)] * 33)) == (
        "row 33: a code has at most 32 layers"
    )


@given(seeds, st.integers(0, 23))
def test_printing_and_parsing_are_inverse(seed: int, layers: int) -> None:
    code = random_code(np.random.default_rng(seed), layers)
    text = _core.nsc_print(batch(code, 24)[0])
    assert text == str([tuple(row) for row in code.tolist()]).replace(" ", "")
    np.testing.assert_array_equal(_core.nsc_parse(text), code)
    np.testing.assert_array_equal(_core.nsc_parse(str(code.tolist())), code)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "position 1: expected '[', got the end"),
        ("[(1,7,0,0)]", "position 10: expected ',', got ')]'"),
        ("[(1,7,0,0,x)]", "position 11: expected a 16-bit integer, got 'x)]'"),
        ("[(1,7,0,0,0)]]", "position 14: expected the end of the code, got ']'"),
        ("[(1,7,0,0,café)]", "position 11: expected a 16-bit integer, got 'café)]'"),
        ("[0123456789aé", "position 2: expected '(', got '0123456789aé'"),
    ],
)
def test_parsing_names_the_position(text: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"block code, {wanted}; a code looks like")):
        _core.nsc_parse(text)


@given(seeds, st.integers(1, 23))
def test_the_graph_leads_back_to_the_code(seed: int, layers: int) -> None:
    code = random_code(np.random.default_rng(seed), layers)
    graph = _core.Graph.from_nsc(code)
    rows = []
    for node in range(1, layers + 1):
        op, kernel, stride, dilation = graph.nodes[node].tolist()
        preds = graph.edges[graph.edges[:, 1] == node, 0].tolist()
        assert stride == dilation == 1
        assert all(pred < node for pred in preds)
        assert len(set(preds)) == _core.OPS[name_of(op)][2]
        rows.append((op, kernel, preds[0], preds[1] if len(preds) == 2 else 0))
    np.testing.assert_array_equal(code_of(rows), code)
    into_output = graph.edges[graph.edges[:, 1] == layers + 1, 0]
    unread = set(range(1, layers + 1)) - set(code[:, 3:].ravel().tolist())
    assert sorted(into_output.tolist()) == sorted(unread)


def name_of(op: int) -> str:
    return next(name for name, (code, _, _) in _core.OPS.items() if code == op)


@pytest.mark.parametrize(
    "codes",
    [
        np.zeros((2, 5), np.int16),
        np.zeros((2, 3, 4), np.int16),
        np.zeros((2, 3, 5)),
        [[1, 2]],
        None,
    ],
)
def test_other_arrays_are_refused(codes: object) -> None:
    with pytest.raises(ValueError, match=r"codes: expected int16 \[n, L, 5\], got "):
        _core.nsc_validate(codes)  # type: ignore[arg-type]  # the point of this test


def test_nothing_hides_behind_a_zero_byte() -> None:
    with pytest.raises(ValueError, match="position 14: expected the end of the code"):
        _core.nsc_parse("[(1,7,0,0,0)]\0x")


def test_a_view_is_read_as_it_lies() -> None:
    codes = np.zeros((4, 6, 5), np.int16)
    codes[1::2, 0] = (1, 1, 3, 1, 0)
    assert _core.nsc_validate(codes[::2]).tolist() == [0, 0]
    assert _core.nsc_validate(codes[1::2]).tolist() == [1, 1]
    unaligned = np.frombuffer(b"0" + codes.tobytes(), np.int16, offset=1).reshape(codes.shape)
    assert not unaligned.flags.aligned
    assert _core.nsc_validate(unaligned).tolist() == [0, 1, 0, 1]
