"""bitweft run: a network on the RTL, through the command and through the function behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import bitweft.run
from bitweft.cli import create_app
from bitweft.run import run_network
from hw.control.dispatch import ErrorCode
from hw.spec import load_spec
from mapper.networks.digits import digits
from sim.quantised import Network
from sim.quantised_run import run as run_reference
from sim.runner.accelerator import NativeAccelerator
from tests.quantised_models import Builder, ort_tensors, patches_model, quantised

MODEL = digits().int8
TINY = load_spec("tiny")
# Of the network, from its layers: 64 pixels of 16 channels by 9 taps of 1 channel, and so on.
STEM_MACS = 64 * 16 * 9


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(create_app(["run"]), ["run", *(str(word) for word in words)])


def _image(number: int) -> Any:
    pixels, _ = digits().load_test_set()
    return digits().as_input(pixels)[number : number + 1]


class TestDigits:
    def test_everything_agrees(self, tmp_path: Path) -> None:
        summary = tmp_path / "s.json"
        result = run(MODEL, "--spec", "tiny", "--json", summary)
        assert result.exit_code == 0, result.output
        assert "no element, no byte and no cycle differs" in " ".join(result.stdout.split())
        assert "seed 0" in result.stdout
        content = json.loads(summary.read_text())
        assert content["status"] == "agrees"
        assert content["mismatches"] == 0
        assert content["compared"] == 10
        assert content["bytes_counted"] == content["bytes_planned"]
        # An 8 × 8 image and ten results, in words of 4 bytes.
        assert content["bytes_counted"]["activations"] == 8 * 8 * 4
        assert content["bytes_counted"]["stored"] == 12
        assert content["cycles"] == content["cycles_predicted"]
        layers = content["layers"]
        assert sum(layer["cycles"] for layer in layers) < content["cycles"]
        assert all(layer["cycles"] == layer["predicted"] for layer in layers)
        assert (layers[0]["name"], layers[0]["macs"]) == ("stem/conv_1", STEM_MACS)
        assert all(0 < layer["utilisation"] <= 1 for layer in layers)
        units = {layer["name"]: layer["unit"] for layer in layers}
        assert units["stem/conv_1"] == "array"
        assert units["separable/conv_1"] == "lanes"

    def test_a_given_image_is_classified(self, tmp_path: Path) -> None:
        _, labels = digits().load_test_set()
        np.save(tmp_path / "x.npy", _image(5))
        result = run(MODEL, "--spec", "tiny", "--input", tmp_path / "x.npy")
        assert result.exit_code == 0, result.output
        assert "given" in result.stdout
        (scores,) = run_network(MODEL, TINY, {"image": _image(5)}).outputs.values()
        assert scores.shape == (1, 10)
        assert scores.argmax() == labels[5]

    def test_stalls_change_no_value_and_no_byte(self) -> None:
        calm, stalled = (run_network(MODEL, TINY, stalls=stalls) for stalls in (0.0, 0.5))
        assert calm.agrees
        assert stalled.agrees
        assert stalled.counted == calm.counted
        assert stalled.cycles > calm.cycles == stalled.predicted

    def test_a_run_can_stop_after_a_layer(self, tmp_path: Path) -> None:
        summary = tmp_path / "s.json"
        result = run(MODEL, "--spec", "tiny", "--until", "down/conv_1", "--json", summary)
        assert result.exit_code == 0, result.output
        content = json.loads(summary.read_text())
        assert [layer["name"] for layer in content["layers"]][-1] == "down/conv_1"
        # 4 × 4 pixels of 32 channels, which the whole run never stores.
        assert content["compared"] == 4 * 4 * 32
        assert content["bytes_counted"]["stored"] == 4 * 4 * 32

    def test_progress_rises_to_the_end(self) -> None:
        seen: list[tuple[str, float | None]] = []
        run_network(MODEL, TINY, on_progress=lambda what, done: seen.append((what, done)))
        phases = list(dict.fromkeys(what for what, _ in seen))
        assert phases[0] == "reading the model"
        assert phases[-1] == "simulating"
        shares = [done for what, done in seen if what == "simulating" and done is not None]
        assert shares[0] == 0
        assert shares == sorted(shares)
        assert shares[-1] <= 1

    def test_the_scratchpad_of_the_hardware_follows_the_option(self) -> None:
        done = run_network(MODEL, TINY, scratchpad="MR")
        # 8 × 8 pixels of 16 channels three times: the two operands and the result of an addition.
        assert done.plan.scratchpad_bytes == 3 * 8 * 8 * 16
        assert done.spec.scratchpad.bytes == 3 * 8 * 8 * 16
        assert done.agrees


def _change(monkeypatch: pytest.MonkeyPatch, layer: str, place: tuple[int, ...]) -> None:
    """A reference that is one off in one element of a layer's result, and right elsewhere."""

    def wrong(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any]:
        values = run_reference(network, inputs)
        output = next(o.output for o in network.operators if o.name == layer)
        changed = values[output].copy()
        changed[place] ^= 1
        return {**values, output: changed}

    monkeypatch.setattr(bitweft.run, "run_reference", wrong)


class TestMismatch:
    def test_names_layer_coordinate_and_values(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        right = run_network(MODEL, TINY)
        (scores,) = right.outputs.values()
        assert right.agrees
        _change(monkeypatch, "classifier/gemm_1", (0, 0, 0, 7))
        summary = tmp_path / "s.json"
        result = run(MODEL, "--spec", "tiny", "--json", summary)
        assert result.exit_code == 1
        text = " ".join(result.stdout.split())
        assert "1 elements differ; the first is in layer 'classifier/gemm_1'" in text
        assert "at n 0, y 0, x 0, channel 7: expected " in text
        first = json.loads(summary.read_text())["first_mismatch"]
        assert first["expected"] == first["actual"] ^ 1
        assert first["coordinate"] == [0, 0, 0, 7]

    def test_of_a_tensor_that_never_leaves_the_chip(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _change(monkeypatch, "down/conv_1", (0, 2, 1, 17))
        done = run_network(MODEL, TINY, until="down/conv_1")
        assert not done.agrees
        assert done.first is not None
        assert (done.first.layer, done.first.coordinate) == ("down/conv_1", (0, 2, 1, 17))

    def test_the_first_of_several_layers_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The result alone tells that something is wrong; the layer is found by running again.
        def wrong(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any]:
            values = run_reference(network, inputs)
            wanted = {"stem/relu_1": (0, 3, 4, 5), "classifier/gemm_1": (0, 0, 0, 2)}
            for operator in network.operators:
                if operator.name in wanted:
                    values[operator.output][wanted[operator.name]] ^= 1
            return values

        monkeypatch.setattr(bitweft.run, "run_reference", wrong)
        done = run_network(MODEL, TINY)
        assert done.mismatches == 1
        assert done.first is not None
        assert (done.first.layer, done.first.coordinate) == ("stem/relu_1", (0, 3, 4, 5))

    def test_inside_a_stage_that_runs_in_patches(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        # 48 x 48 pixels of four channels, twice: what lies between never is a whole.
        model = patches_model(tmp_path)
        right = run_network(model, TINY)
        assert right.agrees
        first, second = (layer.name for layer in right.layers)
        assert right.plan.order == (f"{first} to {second}",)
        _change(monkeypatch, first, (0, 20, 41, 3))
        done = run_network(model, TINY, until=first)
        assert (done.mismatches, [layer.name for layer in done.layers]) == (1, [first])
        assert done.first is not None
        assert (done.first.layer, done.first.coordinate) == (first, (0, 20, 41, 3))

    def test_hardware_that_stops_is_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        started = NativeAccelerator.start

        def failing(self: NativeAccelerator, **words: int) -> None:
            self.fail(3)
            started(self, **words)

        monkeypatch.setattr(NativeAccelerator, "start", failing)
        result = run(MODEL, "--spec", "tiny", "--json", tmp_path / "s.json")
        assert result.exit_code == 1
        assert result.stdout == (
            f"failed: the accelerator must run the program, not stop with {ErrorCode.BUS.name}\n"
        )
        assert json.loads((tmp_path / "s.json").read_text())["status"] == "failed"


def test_a_float_model_is_quantised_first(tmp_path: Path) -> None:
    builder = Builder(3, (1, 2, 6, 6))
    x = builder.conv("x", 4, act="relu")
    model = tmp_path / "float.onnx"
    model.write_bytes(builder.model(builder.conv(x, 3)).SerializeToString())
    result = run(model, "--spec", "tiny")
    assert result.exit_code == 0, result.output
    assert "random data (normal, seed 0" in " ".join(result.stdout.split())


class TestImages:
    def test_several_images_run_one_after_another(self, tmp_path: Path) -> None:
        _, labels = digits().load_test_set()
        images = np.concatenate([_image(n) for n in range(3)])
        np.save(tmp_path / "x.npy", images)
        summary = tmp_path / "s.json"
        result = run(MODEL, "--spec", "tiny", "--input", tmp_path / "x.npy", "--json", summary)
        assert result.exit_code == 0, result.output
        assert "given, 3 images" in result.stdout
        content = json.loads(summary.read_text())
        each = content["images"]
        assert len(each) == 3
        # Without stalls the time does not depend on the data.
        assert [image["cycles"] for image in each] == [each[0]["cycles"]] * 3
        assert content["cycles"] == content["cycles_predicted"] == 3 * each[0]["cycles"]
        assert [image["compared"] for image in each] == [10, 10, 10]
        assert content["compared"] == 30
        assert content["bytes_counted"]["activations"] == 3 * 8 * 8 * 4
        assert content["bytes_counted"] == content["bytes_planned"]
        done = run_network(MODEL, TINY, {"image": images})
        (scores,) = done.outputs.values()
        assert scores.argmax(axis=1).tolist() == list(labels[:3])
        assert done.macs == 3 * done.images[0].macs
        assert done.utilisation == done.images[0].utilisation

    def test_the_image_of_a_mismatch_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        images = np.concatenate([_image(n) for n in range(3)])
        calls: list[int] = []

        def wrong(network: Network, inputs: Mapping[str, Any]) -> dict[str, Any]:
            values = run_reference(network, inputs)
            calls.append(1)
            if len(calls) == 2:
                values[network.outputs[0]][0, 0, 0, 4] ^= 1
            return values

        monkeypatch.setattr(bitweft.run, "run_reference", wrong)
        done = run_network(MODEL, TINY, {"image": images})
        assert not done.agrees
        assert [image.agrees for image in done.images] == [True, False, True]
        assert done.mismatches == 1
        assert done.first is not None
        assert done.first.coordinate == (1, 0, 0, 4)


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["missing.onnx"], "Model must be a readable ONNX file, not 'missing.onnx'"),
            (["--spec", "huge"], "Spec must be one of tiny, small, base or a readable TOML file"),
            (["--input", "none.npy"], "--input must be a readable .npy or .npz file"),
            (["--input", "WIDE"], "Input 'image' must have shape [1, 1, 8, 8], not [1, 1, 9, 9]"),
            (["--input", "NAMED"], "Inputs must be 'image', not 'picture'"),
            (["--scratchpad", "lots"], "--scratchpad must be MR, MH, MP or a size"),
            (["--until", "nowhere"], "--until must be the name of a layer, not 'nowhere': layers"),
            (["--calibration", "f.npz"], "must be a float model for --calibration"),
            (["--json", "/proc/no/s.json"], "Output '/proc/no/s.json' must be writable"),
        ],
    )
    def test_bad_input_is_one_sentence(
        self, tmp_path: Path, words: list[str], message: str
    ) -> None:
        np.save(tmp_path / "wide.npy", np.zeros((1, 1, 9, 9), np.float32))
        np.savez(tmp_path / "named.npz", picture=_image(0))
        files = {"WIDE": tmp_path / "wide.npy", "NAMED": tmp_path / "named.npz"}
        named = [files.get(word, word) for word in words]
        if not words[0].startswith("--"):
            result = run(*named, "--spec", "tiny")
        else:
            result = run(MODEL, "--spec", "tiny", *named)
        assert result.exit_code == 2
        assert result.stderr.startswith("bitweft: error: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1

    def test_an_operator_that_does_not_run_is_named(self, tmp_path: Path) -> None:
        builder = Builder(3, (1, 2, 6, 6))
        x = builder.node("Sigmoid", builder.conv("x", 4), channels=4)
        model = tmp_path / "float.onnx"
        model.write_bytes(builder.model(builder.conv(x, 3)).SerializeToString())
        result = run(model, "--spec", "tiny")
        assert result.exit_code == 2
        assert "Sigmoid" in result.stderr
        # The file that the user gave, not the one that the quantiser wrote.
        assert f"{model} (quantised)" in result.stderr
        assert result.stderr.count("\n") == 1

    def test_an_accelerator_that_cannot_be_is_refused(self, tmp_path: Path) -> None:
        spec = tmp_path / "odd.toml"
        spec.write_text(
            '[engine]\nrows = 4\ncols = 4\n[pe]\nkind = "mac"\nactivation = "int8"\n'
            'weight = "int8"\naccumulator_bits = 32\n[scratchpad]\nbytes = 4096\nbanks = 2\n'
            "[weight_buffer]\nbytes = 4096\n[memory]\nbus_bits = 64\nlatency_cycles = 9\n"
            "bytes_per_cycle = 8\n"
        )
        result = run(MODEL, "--spec", spec)
        assert result.exit_code == 2
        assert "memory.bus_bits must be 32" in result.stderr

    def test_a_scratchpad_that_is_too_small_is_infeasible(self, tmp_path: Path) -> None:
        words: list[str | Path] = [
            "--spec",
            "tiny",
            "--scratchpad",
            "128",
            "--json",
            tmp_path / "s.json",
        ]
        result = run(MODEL, *words)
        assert result.exit_code == 1
        assert result.stdout == (
            "infeasible: digits_int8.onnx: scratchpad must have at least 176 bytes for the "
            "smallest piece of operator 'down/conv_1' (Conv), not 128: give --scratchpad 176 "
            "or more.\n"
        )
        assert json.loads((tmp_path / "s.json").read_text())["status"] == "infeasible"


class TestReductions:
    def test_what_fits_neither_weights_nor_input_is_what_onnx_runtime_computes(
        self, tmp_path: Path
    ) -> None:
        """A kernel of 3 × 3 by 120 channels, then 17,424 inputs of a dense layer."""
        shape = (1, 120, 12, 12)
        builder = Builder(7, shape)
        wide = builder.conv("x", 121, 3)
        model = quantised(builder.model(builder.dense(wide, 121 * 144, 5)), tmp_path)
        x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        done = run_network(model, TINY, {"x": x})
        stages = [o.stage for o in done.plan.operators if o.stage]
        assert [stage.axis for stage in stages] == ["rows", "reduction"]
        assert all(m.reduction for stage in stages for m in stage.members)
        assert done.mismatches == 0
        assert done.counted == done.planned
        assert done.cycles == done.predicted
        ((name, values),) = done.outputs.items()
        assert np.array_equal(values, ort_tensors(model, {"x": x}, [name])[name])
        assert len(np.unique(values)) > 3


def test_help_shows_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Example: bitweft run " in " ".join(result.output.split())
