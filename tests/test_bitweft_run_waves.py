"""bitweft.run_waves: the waveform of a layer holds the cycles of that layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from vcd.reader import TokenKind, tokenize

from bitweft.cli import create_app
from bitweft.run import run_network
from bitweft.run_waves import WavesOf, require_layer, staged_waves
from hw.errors import InputError
from hw.spec import load_spec
from mapper.networks.digits import digits
from sim.runner.accelerator import NativeAccelerator
from sim.runner.library import SimulationError
from tests.quantised_models import patches_model

MODEL = digits().int8


def run(*words: str | Path) -> Result:
    command = ["run", MODEL, "--spec", "tiny", *words]
    return CliRunner().invoke(create_app(["run"]), [str(word) for word in command])


def read(file: Path, *names: str) -> tuple[list[int], dict[str, list[tuple[int, int]]]]:
    """All times, and (time, value) at each change of the named signals of the top scope."""
    times: list[int] = []
    codes: dict[str, str] = {}
    changes: dict[str, list[tuple[int, int]]] = {name: [] for name in names}
    depth = 0
    with file.open("rb") as stream:
        for token in tokenize(stream):
            if token.kind is TokenKind.SCOPE:
                depth += 1
            elif token.kind is TokenKind.UPSCOPE:
                depth -= 1
            elif token.kind is TokenKind.VAR and depth == 1 and token.var.reference in names:
                codes[token.var.id_code] = token.var.reference
            elif token.kind is TokenKind.CHANGE_TIME:
                times.append(token.time_change)
            elif token.kind is TokenKind.TIMESCALE:
                assert token.timescale.magnitude.value == 1
                assert token.timescale.unit.value == "ns"
            elif token.kind is TokenKind.CHANGE_SCALAR and token.scalar_change.id_code in codes:
                name = codes[token.scalar_change.id_code]
                changes[name].append((times[-1], int(token.scalar_change.value)))
            elif token.kind is TokenKind.CHANGE_VECTOR and token.vector_change.id_code in codes:
                name, value = codes[token.vector_change.id_code], token.vector_change.value
                changes[name].append((times[-1], int(value)))
    return times, changes


def test_the_cycles_of_a_layer_and_no_other(tmp_path: Path) -> None:
    summary = tmp_path / "s.json"
    result = run(
        *("--waves", "stem/relu_1", "--until", "residual/conv_1"),
        *("-o", tmp_path / "out", "--json", summary),
    )
    assert result.exit_code == 0, result.output
    content = json.loads(summary.read_text())
    before, layer, _ = content["layers"]
    assert layer["name"] == "stem/relu_1"
    file = tmp_path / "out" / "digits_int8.stem_relu_1.vcd"
    assert list((tmp_path / "out").iterdir()) == [file]
    begin, end = before["cycles"], before["cycles"] + layer["cycles"]
    assert content["waves"] == {
        "layer": "stem/relu_1",
        "file": str(file),
        "first": begin,
        "end": end,
    }
    line = " ".join(result.stdout.replace("\n", " ").split())
    assert f"cycles {begin:,} to {end:,} of the run, {file.stat().st_size:,} B." in line
    times, changes = read(file, "clk", "computes_finished")
    # Twice per cycle: settled before the edge, and after it.
    assert times == list(range(0, 10 * (end - begin), 5))
    assert changes["clk"] == [(time, time % 10 // 5) for time in times]
    # The layer's last computation ends at the last edge, and the layers before have ended.
    (start, finished), *_, (last, all_finished) = changes["computes_finished"]
    assert (start, last) == (0, times[-1])
    assert 0 < finished < all_finished
    assert [value for _, value in changes["computes_finished"]] == list(
        range(finished, all_finished + 1)
    )


def test_a_layer_that_runs_in_patches(tmp_path: Path) -> None:
    model, tiny = patches_model(tmp_path), load_spec("tiny")
    first, second = (layer.name for layer in run_network(model, tiny).layers)
    file = tmp_path / "first.vcd"
    done = run_network(model, tiny, until=second, waves=WavesOf(first, file))
    assert done.agrees
    assert done.plan.order == (f"{first} to {second}",)
    assert done.waveform is not None
    assert done.waveform.first == 1, "in cycle 0 the run is started"
    assert done.waveform.end < done.cycles
    _, changes = read(file, "computes_finished")
    finished = [value for _, value in changes["computes_finished"]]
    # All patches of both layers but the second's last.
    stage = done.plan.operators[0].stage
    assert stage is not None
    assert finished == list(range(2 * len(stage.patches)))


def test_a_run_that_fails_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = NativeAccelerator.start

    def failing(self: NativeAccelerator, **words: int) -> None:
        self.fail(5)
        started(self, **words)

    monkeypatch.setattr(NativeAccelerator, "start", failing)
    result = run("--waves", "stem/conv_1", "-o", tmp_path / "out")
    assert result.exit_code == 1
    (file,) = (tmp_path / "out").iterdir()
    line = "".join(result.stdout.split())
    assert line.startswith("failed:theacceleratormustruntheprogram,notstopwithBUS;")
    assert line.endswith(f"thewaveformuptothereis{file}")
    times, changes = read(file, "irq")
    assert changes["irq"][-1][1] == 1
    assert times[:3] == [0, 5, 10]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--waves", "relu_2"], "must be the name of a layer, not 'relu_2': near it are 're"),
        (["--waves", "stem/conf_1"], "not 'stem/conf_1': near it are 'stem/conv_1'"),
        (["--waves", "zzz"], "not 'zzz': layers are 'stem/conv_1', 'stem/relu_1', "),
        (
            ["--waves", "classifier/gemm_1", "--until", "stem/conv_1"],
            "--waves must be a layer that runs before --until ends, not 'classifier/gemm_1'",
        ),
        (["--waves", "stem/conv_1", "-o", "FILE"], "Output folder must be a folder, not the"),
    ],
)
def test_refusals(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    named: list[str | Path] = [tmp_path / "file" if word == "FILE" else word for word in words]
    result = run(*(named if "-o" in words else [*named, "-o", tmp_path / "out"]))
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_layer_is_found_by_its_exact_name_only() -> None:
    names = [f"layer{n}" for n in range(20)]
    require_layer("until", "layer7", names)
    with pytest.raises(InputError, match=r"'layer10', 'layer11'.* and 4 more\.$"):
        require_layer("until", "layer1", [n for n in names if n != "layer1"])


def test_what_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    for problem in (KeyboardInterrupt(), SimulationError("nothing was written")):
        with (
            pytest.raises(type(problem)),
            staged_waves(tmp_path / "out", Path("m.onnx"), "a/../b") as wanted,
        ):
            assert wanted is not None
            assert wanted.file.name == "m.a_.._b.vcd"
            if isinstance(problem, KeyboardInterrupt):
                wanted.file.touch()
            raise problem
        assert list(tmp_path.iterdir()) == []
