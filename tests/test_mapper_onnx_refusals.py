"""mapper.onnx_import: shapes, and what is refused in which words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw.errors import InputError
from mapper.onnx_import import import_onnx
from tests.mapper_graphs import light_model
from tests.onnx_models import IMAGE, Shape, float_model, imported, integers, value_info, zeros


class TestShapes:
    def test_an_override_makes_dynamic_dimensions_static(self, tmp_path: Path) -> None:
        node = helper.make_node("Relu", ["x"], ["y"])
        model = float_model([node], {"x": ["batch", 3, "h", "w"]}, ["y"])
        graph = imported(model, tmp_path, input_shapes={"x": (2, 3, 4, 5)})
        assert graph.tensor("y").shape == (2, 3, 4, 5)

    @pytest.mark.parametrize(
        ("shape", "override", "message"),
        [
            (
                ["batch", 3, 4],
                {},
                r"dimension 0 of input 'x' must be a positive number, not 'batch': .* x=1,3,4\.$",
            ),
            ([1, 0], {}, r"dimension 1 of input 'x' must be a positive number, not 0"),
            (None, {}, r"input 'x' must have a static shape, not none at all"),
            (["n", 3], {"x": (2, 4)}, r"dimension 1 of input 'x' must be 3 as in the model, not 4"),
            (["n", 3], {"x": (2,)}, r"shape of input 'x' must have 2 dimensions, not the 1 of '2'"),
            ([1, 3], {"z": (2,)}, r"--shape must name a network input \('x'\), not 'z'\.$"),
        ],
    )
    def test_refusals(
        self,
        tmp_path: Path,
        shape: Shape | None,
        override: dict[str, Sequence[int]],
        message: str,
    ) -> None:
        model = float_model([helper.make_node("Relu", ["x"], ["y"])], {"x": shape}, ["y"])
        with pytest.raises(InputError, match=message):
            imported(model, tmp_path, input_shapes=override)

    def test_shapes_that_depend_on_data(self, tmp_path: Path) -> None:
        graph = helper.make_graph(
            [helper.make_node("Expand", ["x", "s"], ["y"], name="grow")],
            "net",
            [value_info("x", [1, 3]), helper.make_tensor_value_info("s", TensorProto.INT64, [2])],
            [value_info("y", None)],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        with pytest.raises(
            InputError, match=r"shape of tensor 'y' \(node 'grow', Expand\) must be static"
        ):
            imported(model, tmp_path)

    def test_shapes_that_do_not_fit(self, tmp_path: Path) -> None:
        node = helper.make_node("Conv", ["x", "w"], ["y"], name="first")
        model = float_model([node], {"x": [1, 3, 8]}, ["y"], [zeros("w", 4, 3, 1, 1)])
        with pytest.raises(InputError, match="shapes at node 'first' must fit Conv, but do not"):
            imported(model, tmp_path)


class TestRefusals:
    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            (
                [helper.make_node("Relu", ["z"], ["y"], name="r")],
                r"input 'z' of node 'r' must be a network input, .*, not undefined\.$",
            ),
            (
                [
                    helper.make_node("Add", ["x", "b"], ["a"], name="p"),
                    helper.make_node("Relu", ["a"], ["b"], name="q"),
                    helper.make_node("Relu", ["b"], ["y"]),
                ],
                r"nodes must not form a cycle, but 'p' waits for itself\.$",
            ),
            (
                [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])],
                r"tensor 'y' must have one producer, not a second in node Abs -> \['y'\]: rename",
            ),
            (
                [helper.make_node("Relu", ["x"], ["x"], name="r")],
                r"tensor 'x' must have one producer, not a second in node 'r'",
            ),
            (
                [helper.make_node("Hash", ["x"], ["y"], name="h", domain="com.acme")],
                r"operator Hash \(domain com\.acme\) of node 'h' is not known",
            ),
            (
                [helper.make_node("Relu", ["x"], ["y"], domain="com.acme")],
                r"operator Relu \(domain com\.acme\) of node Relu -> \['y'\] is not known",
            ),
            (
                [helper.make_node("NonZero", ["x"], ["y"], name="nz")],
                r"operator NonZero \(domain ai\.onnx\) of node 'nz' is not known",
            ),
            (
                [helper.make_node("Gelu", ["x"], ["y"], name="g")],
                r"operator Gelu of node 'g' must be in ONNX operator set 17",
            ),
            ([helper.make_node("Identity", ["x"], ["y"])], r"network must have an operator left"),
            ([], r"network output 'y' must be produced by a node, not undefined\.$"),
        ],
        ids=lambda x: "" if isinstance(x, str) else f"{len(x)} nodes",
    )
    def test_graphs(self, tmp_path: Path, nodes: list[onnx.NodeProto], message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            imported(float_model(nodes, IMAGE, ["y"]), tmp_path)
        assert "\n" not in str(caught.value)

    def test_no_nodes_and_no_outputs(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="network must have an operator left to run"):
            imported(float_model([], IMAGE, []), tmp_path)

    def test_control_flow(self, tmp_path: Path) -> None:
        body = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["t"])], "then", [], [value_info("t", None)]
        )
        node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
        constant = numpy_helper.from_array(np.array(True), "c")
        with pytest.raises(InputError, match=r"node 'if' must not be control flow \(If\): export"):
            imported(float_model([node], IMAGE, ["y"], [constant]), tmp_path)

    def test_dropout_whose_mask_is_read(self, tmp_path: Path) -> None:
        nodes = [helper.make_node("Dropout", ["x"], ["d", "y"], name="drop")]
        with pytest.raises(InputError, match="node 'drop' .* must be used for inference"):
            imported(float_model(nodes, IMAGE, ["y"]), tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"ir_version": 99}, r"ir_version must be at most \d+, not 99: export it"),
            ({"opset": 99}, r"ONNX operator set must be version 1 to \d+, not 99"),
            ({"opset": 0}, r"ONNX operator set must be version 1 to \d+, not 0"),
            ({"opset": None}, r"opset_import must name the ONNX operator set"),
        ],
    )
    def test_versions(self, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        model = float_model([helper.make_node("Relu", ["x"], ["y"])], IMAGE, ["y"])
        if "opset" in change:
            del model.opset_import[:]
            if change["opset"] is not None:
                model.opset_import.append(helper.make_opsetid("", change["opset"]))
        else:
            model.ir_version = change["ir_version"]
        with pytest.raises(InputError, match=message):
            imported(model, tmp_path)

    def test_files(self, tmp_path: Path) -> None:
        whole = light_model("squeezenet").read_bytes()
        cases: list[tuple[bytes, str]] = [
            (b"", r"net\.onnx: must be an ONNX model, not an empty file\.$"),
            (whole[:-100], r"net\.onnx: must be an ONNX model, not a truncated file or another"),
            (whole[: len(whole) // 2], r"must be an ONNX model, not a truncated file or another"),
            (b"\x89PNG\r\n\x1a\n" + bytes(50), r"must be an ONNX model, not "),
            (b"hello, world", r"must be an ONNX model, not "),
        ]
        path = tmp_path / "net.onnx"
        for content, message in cases:
            path.write_bytes(content)
            with pytest.raises(InputError, match=message):
                import_onnx(path)

    def test_flipped_bytes_are_refused_or_imported(self, tmp_path: Path) -> None:
        whole = light_model("squeezenet").read_bytes()
        path = tmp_path / "net.onnx"
        refused = 0
        for seed in range(150):
            random = Random(seed)
            content = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(content)
            try:
                graph = import_onnx(path)
            except InputError as error:
                assert "\n" not in str(error)
                refused += 1
            else:
                assert all(isinstance(o.name, str) for o in graph.operators)
        assert 0 < refused < 150

    def test_every_test_model_of_onnx_is_imported_or_refused(self) -> None:
        folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
        imported = 0
        for path in sorted(folder.rglob("*.onnx")):
            try:
                import_onnx(path)
            except InputError as error:
                assert "\n" not in str(error)
            else:
                imported += 1
        assert imported > 100

    def test_missing_files_and_folders(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^Model must be a readable ONNX file, not .*no such"):
            import_onnx(tmp_path / "nowhere.onnx")
        with pytest.raises(InputError, match=r"^Model must be an ONNX file, not the folder "):
            import_onnx(tmp_path)

    @pytest.mark.parametrize(
        ("location", "length", "message"),
        [
            ("../w.bin", "48", r"must lie in the model's folder, not at '\.\./w\.bin': move it"),
            ("/etc/passwd", "48", r"must lie in the model's folder, not at '/etc/passwd'"),
            ("link.bin", "48", r"must lie in the model's folder, not at 'link\.bin'"),
            ("", "48", r"must lie in the model's folder, not at ''"),
            ("w.bin", "48", r"must be there, but 'w\.bin' is missing: copy it beside the model"),
            ("short.bin", "48", r"must lie within the 10 bytes of 'short\.bin', not at 0 to 48"),
            ("short.bin", "many", r"must name a file, offset and length, not "),
            ("short.bin", "-1", r"must lie within the 10 bytes"),
        ],
    )
    def test_external_data(self, tmp_path: Path, location: str, length: str, message: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "w.bin").write_bytes(bytes(48))
        (folder / "short.bin").write_bytes(bytes(10))
        (folder / "link.bin").symlink_to(tmp_path / "w.bin")
        weight = zeros("w", 4, 3, 1, 1)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", length)):
            weight.external_data.add(key=key, value=value)
        model = float_model([helper.make_node("Conv", ["x", "w"], ["y"])], IMAGE, ["y"], [weight])
        with pytest.raises(InputError, match=f"external data of 'w' {message}"):
            imported(model, folder)

    def test_an_initializer_that_is_cut_short(self, tmp_path: Path) -> None:
        target = integers("s", 1, 192)
        target.raw_data = target.raw_data[:5]
        model = float_model(
            [helper.make_node("Reshape", ["x", "s"], ["y"])], IMAGE, ["y"], [target]
        )
        with pytest.raises(InputError, match="initializer 's' must have data that fits its"):
            imported(model, tmp_path)
