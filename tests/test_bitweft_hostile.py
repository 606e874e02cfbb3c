"""Models that no exporter writes, as a user meets them: through the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner, Result

from bitweft.cli import create_app

Row = tuple[str, Sequence[str], Sequence[str], str]  # operator, inputs, outputs, name


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(create_app([str(words[0])]), [str(word) for word in words])


def _model(
    path: Path, rows: Sequence[Row], given: str, shape: Sequence[int], taken: Sequence[str]
) -> Path:
    nodes = [helper.make_node(kind, reads, writes, name=name) for kind, reads, writes, name in rows]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "hostile",
        [value(given, TensorProto.FLOAT, shape)],
        [value(name, TensorProto.FLOAT, None) for name in taken],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("rows", "shape", "sentence"),
    [
        (
            [("Add", ["x", "b"], ["a"], "p"), ("Relu", ["a"], ["b"], "q")],
            [1, 4],
            "nodes must not form a cycle, but 'p' waits for itself.",
        ),
        (
            [("Transpose", ["x"], ["b"], "p")],
            [1 << 25, 1 << 26],
            "network must have at most 1024 TiB of tensors and weights, not 4503599627370496 bytes",
        ),
        (
            [("Transpose", ["x"], ["b"], "p")],
            [0, 5],
            "dimension 0 of input 'x' must be a positive number, not 0: ",
        ),
        (
            [("Transpose", ["x"], ["b"], "p"), ("Relu", ["x"], ["b"], "q")],
            [4, 5],
            "tensor 'b' must have one producer, not a second in node 'q'",
        ),
        ([("Transpose", [""], ["b"], "p")], [4, 5], "shapes at node 'p' must fit Transpose"),
    ],
    ids=["cycle", "2**51 bytes", "no rows", "two producers", "empty tensor name"],
)
def test_what_cannot_be_mapped_is_one_sentence(
    tmp_path: Path, rows: Sequence[Row], shape: Sequence[int], sentence: str
) -> None:
    model = _model(tmp_path / "m.onnx", rows, "x", shape, ["b"])
    result = _run("map", model, "-o", tmp_path / "o")
    assert result.exit_code == 2
    assert f"{model}: {sentence}" in result.stderr
    assert result.stderr.startswith("bitweft: error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_a_tensor_of_a_tebibyte(tmp_path: Path) -> None:
    rows = [("Transpose", ["x"], ["y"], "p")]
    model = _model(tmp_path / "m.onnx", rows, "x", [1 << 20, 1 << 20], ["y"])
    assert _run("map", model, "-o", tmp_path / "o").exit_code == 0
    plan = json.loads((tmp_path / "o" / "plan.json").read_text())
    assert plan["scratchpad_bytes"] == 2 << 40
    assert _run("check", tmp_path / "o" / "plan.json").exit_code == 0
    small = _run("map", model, "-o", tmp_path / "p", "--scratchpad", "64KiB")
    assert small.exit_code == 1
    assert "at least 2199023255552 bytes for the smallest piece of operator 'p'" in small.stdout


def test_an_image_too_high_for_any_number_of_patches(tmp_path: Path) -> None:
    rows = [("MaxPool", ["x"], ["y"], "p")]
    model = onnx.load(_model(tmp_path / "m.onnx", rows, "x", [1, 1, 1 << 38, 4], ["y"]))
    model.graph.node[0].attribute.append(helper.make_attribute("kernel_shape", [2, 2]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    result = _run("map", tmp_path / "m.onnx", "-o", tmp_path / "o", "--scratchpad", "1MiB")
    assert result.exit_code == 1
    assert "for the smallest piece of operator 'p' (MaxPool), not 1048576: give" in result.stdout


def test_names_are_whatever_they_are(tmp_path: Path) -> None:
    names = ["a b/c\\d", "ö\n\t\"'", "🙂[red]x[/]", "../../etc", "\u202eevil"]
    made = ["n / m", "n / m", "", "Transpose_2"]
    rows = [
        ("Transpose", [read], [written], name)
        for read, written, name in zip(names, names[1:], made, strict=False)
    ]
    model = _model(tmp_path / "[m] ö.onnx", rows, names[0], [4, 5], names[-1:])
    result = _run("map", model, "-o", tmp_path / "o")
    assert result.exit_code == 0, result.output
    plan = json.loads((tmp_path / "o" / "plan.json").read_text())
    assert [t["name"] for t in plan["tensors"]] == names
    assert len(set(plan["order"])) == 4
    checked = _run("check", tmp_path / "o" / "plan.json", "--model", model)
    assert checked.exit_code == 0, checked.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["[m] ö.onnx", "o"]
