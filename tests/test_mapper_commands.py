from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner, Result

import bitweft.commands.map
from bitweft.cli import create_app
from mapper.clock import now
from mapper.networks.digits import digits
from tests.mapper_graphs import light_model

PLOTS = ["residency.png", "residency.svg", "traffic.png", "traffic.svg"]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(create_app([str(words[0])]), [str(word) for word in words])


def _random_sums(path: Path, nodes: int) -> Path:
    """A densely wired network, on which the solver works for long."""
    random = Random(2)
    names, made = ["x"], []
    for i in range(nodes):
        reads = random.sample(names[-12:], min(len(names), random.choice([2, 3])))
        kind = "Transpose" if len(reads) == 1 else "Sum"
        made.append(helper.make_node(kind, reads, [f"t{i}"], name=f"n{i}"))
        names.append(f"t{i}")
    unread = [n for n in names if not any(n in node.input for node in made)]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [8, 8]) for n in ["x", *unread]]
    graph = helper.make_graph(made, "sums", info[:1], info[1:])
    opsets = [helper.make_opsetid("", 17)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return path


# The command line, interrupted once at the first plan that has a gap: the search is under way.
_INTERRUPTED = """
import signal
import threading
from contextlib import contextmanager

import bitweft.commands.map
from bitweft.cli import main

sent = []

@contextmanager
def interrupting():
    def report(phase, best, bound):
        if best and not sent:
            sent.append(phase)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    yield report

bitweft.commands.map._progress = interrupting
# A shell that runs tests in the background lets them ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


class TestMap:
    def test_writes_plan_plots_and_summary(self, tmp_path: Path) -> None:
        model, out = light_model("shufflenet"), tmp_path / "new" / "out"
        result = run("map", model, "-o", out, "--json", tmp_path / "s.json")
        assert result.exit_code == 0, result.output
        assert sorted(p.name for p in out.iterdir()) == ["plan.json", *PLOTS]
        summary = json.loads((tmp_path / "s.json").read_text())
        assert (summary["status"], summary["objective_bytes"]) == ("optimal", 37632)
        assert "light_shufflenet.onnx: optimal" in result.stdout
        assert "150,528 B (75.0 % less)" in result.stdout
        checked = run("check", out / "plan.json", "--model", model)
        assert checked.exit_code == 0, checked.output
        assert "accepted" in checked.stdout

    def test_same_options_same_files(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            model = light_model("shufflenet")
            assert run("map", model, "--seed", "3", "-o", tmp_path / name).exit_code == 0
        for path in sorted((tmp_path / "one").iterdir()):
            assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name

    def test_an_accelerator_sets_layout_and_size(self, tmp_path: Path) -> None:
        model = light_model("squeezenet")
        result = run("map", model, "--spec", "base", "--scratchpad", "MR", "-o", tmp_path / "o")
        assert result.exit_code == 0, result.output
        plan = json.loads((tmp_path / "o" / "plan.json").read_text())
        assert (plan["channel_multiple"], plan["activation_bits"]) == (16, 8)
        small = run("map", model, "--spec", "base", "--no-split", "-o", tmp_path / "p")
        assert small.exit_code == 1
        assert "not 262144" in small.stdout
        split = run("map", model, "--spec", "base", "-o", tmp_path / "p")
        assert split.exit_code == 0, split.output
        plan = json.loads((tmp_path / "p" / "plan.json").read_text())
        assert plan["scratchpad_bytes"] == 262144
        assert any(o["stage"] for o in plan["operators"])
        assert run("check", tmp_path / "p" / "plan.json").exit_code == 0

    def test_infeasible_leaves_only_the_summary(self, tmp_path: Path) -> None:
        model = light_model("vgg19")
        words: list[str | Path] = [
            "--scratchpad",
            "100KiB",
            "--no-split",
            "-o",
            tmp_path / "o",
            "--json",
            tmp_path / "s.json",
        ]
        result = run("map", model, *words)
        assert result.exit_code == 1
        assert result.stdout == (
            "infeasible: light_vgg19.onnx: scratchpad must have at least 6422528 bytes for "
            "operator 'n2' (Conv), not 102400: give --scratchpad MR or more.\n"
        )
        assert [p.name for p in tmp_path.iterdir()] == ["s.json"]
        assert json.loads((tmp_path / "s.json").read_text())["needed_bytes"] == 6422528

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["MISSING"], "Model must be a readable ONNX file"),
            (["CUT"], "cut.onnx: must be an ONNX model, not a truncated file"),
            (["MODEL", "--scratchpad", "lots"], "--scratchpad must be MR, MH, MP or a size"),
            (["MODEL", "--shape", "data_0"], "--shape must be NAME=DIMS"),
            (["MODEL", "--shape", "data_0=1,0"], "--shape must be NAME=DIMS"),
            (["MODEL", "--shape", "data_0=2,3,224,224"], "dimension 0 of input 'data_0' must be 1"),
            (["MODEL", "--spec", "nothing"], "Spec must be one of "),
            (["MODEL", "--spec", "tiny", "--activation-bits", "4"], "--activation-bits must be 8"),
            (["MODEL", "--time-limit", "inf"], "--time-limit must be a number of seconds"),
            (["MODEL", "--json", "/proc/no/s.json"], "Output '/proc/no/s.json' must be writable"),
        ],
    )
    def test_bad_input_is_one_sentence(
        self, tmp_path: Path, words: list[str], message: str
    ) -> None:
        files = {
            "MODEL": light_model("squeezenet"),
            "MISSING": tmp_path / "missing.onnx",
            "CUT": tmp_path / "cut.onnx",
        }
        files["CUT"].write_bytes(files["MODEL"].read_bytes()[:-10])
        out = tmp_path / "deep" / "out"
        result = run("map", *(files.get(word, word) for word in words), "-o", out)
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.startswith("bitweft: error: ")
        assert result.stderr.count("\n") == 1
        assert result.stderr.endswith(".\n")
        assert [p.name for p in tmp_path.iterdir()] == ["cut.onnx"]

    def test_an_unwritable_folder_is_noticed_before_the_solver_runs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(bitweft.commands.map, "map_model")
        result = run("map", light_model("squeezenet"), "-o", "/proc/bitweft/out")
        assert result.exit_code == 2
        assert "must be writable" in result.stderr

    def test_ctrl_c_during_a_solve_leaves_nothing(self, tmp_path: Path) -> None:
        # In a process of its own: a signal that comes late must not end the test runner.
        model = _random_sums(tmp_path / "m.onnx", 120)
        words = ["map", str(model), "-o", str(tmp_path / "deep" / "out")]
        done = subprocess.run(
            [sys.executable, "-c", _INTERRUPTED, *words],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        message = "bitweft: error: interrupted; unfinished output was removed\n"
        assert (done.returncode, done.stderr) == (130, message)
        assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]

    def test_a_batch_keeps_weights_that_fit(self, tmp_path: Path) -> None:
        words: list[str | Path] = [
            "map",
            digits().int8,
            "-o",
            tmp_path / "out",
            "--json",
            tmp_path / "s.json",
        ]
        bytes_of = {}
        for spec in ("tiny", "base"):
            result = run(*words, "--spec", spec, "--batch", "2")
            assert result.exit_code == 0, result.output
            summary = json.loads((tmp_path / "s.json").read_text())
            assert summary["images"] == 2
            bytes_of[spec] = summary["objective_bytes"], summary["bound_bytes"], summary["status"]
        # All 17,446 bytes of weights lie in the buffer of base; in that of tiny, 4 KiB do not.
        assert bytes_of["base"] == (0, 0, "optimal")
        moved, bound, status = bytes_of["tiny"]
        assert (bound, status) == (0, "feasible")
        assert 0 < moved < 17446
        result = run(*words, "--batch", "2")
        assert result.exit_code == 2
        assert "--batch 2 must come with --spec" in result.stderr

    def test_a_time_limit_gives_a_plan_with_bound_and_gap(self, tmp_path: Path) -> None:
        model = _random_sums(tmp_path / "m.onnx", 120)
        words: list[str | Path] = [
            "--time-limit",
            "0.5",
            "-o",
            tmp_path / "out",
            "--json",
            tmp_path / "s.json",
        ]
        result = run("map", model, *words)
        assert result.exit_code == 0, result.output
        summary = json.loads((tmp_path / "s.json").read_text())
        assert summary["status"] == "feasible"
        assert 0 <= summary["bound_bytes"] < summary["objective_bytes"]
        assert run("check", tmp_path / "out" / "plan.json").exit_code == 0

    def test_the_time_limit_counts_from_when_the_program_began(self, tmp_path: Path) -> None:
        model = _random_sums(tmp_path / "m.onnx", 120)
        words = ["map", str(model), "--time-limit", "500", "-o", str(tmp_path / "out")]
        # It began long ago: what takes no search is all there is, and that is a plan.
        result = CliRunner().invoke(create_app(["map"]), words, obj=now() - 1000.0)
        assert result.exit_code == 0, result.output
        plan = json.loads((tmp_path / "out" / "plan.json").read_text())
        assert (plan["status"], plan["bound_bytes"]) == ("feasible", 0)
        assert run("check", tmp_path / "out" / "plan.json").exit_code == 0

    def test_absurd_shapes_are_refused(self, tmp_path: Path) -> None:
        graph = helper.make_graph(
            [helper.make_node("Transpose", ["x"], ["y"])],
            "big",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "n"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.save(model, tmp_path / "m.onnx")
        huge = f"x={2**31 - 1},{2**31 - 1}"
        result = run("map", tmp_path / "m.onnx", "--shape", huge, "-o", tmp_path / "o")
        assert result.exit_code == 2
        assert "network must have at most 1024 TiB" in result.stderr


class TestCheck:
    def test_a_broken_plan_names_the_rule(self, tmp_path: Path) -> None:
        assert run("map", light_model("squeezenet"), "-o", tmp_path).exit_code == 0
        plan = json.loads((tmp_path / "plan.json").read_text())
        plan["tensors"][2]["intervals"][0]["address"] = plan["scratchpad_bytes"]
        (tmp_path / "plan.json").write_text(json.dumps(plan))
        result = run("check", tmp_path / "plan.json", "--json", tmp_path / "v.json")
        assert result.exit_code == 1
        assert "plan.json: broken rule addresses: tensor " in result.stdout
        verdict = json.loads((tmp_path / "v.json").read_text())
        assert (verdict["accepted"], verdict["rule"]) == (False, "addresses")

    def test_a_plan_of_another_model(self, tmp_path: Path) -> None:
        assert run("map", light_model("squeezenet"), "-o", tmp_path).exit_code == 0
        result = run("check", tmp_path / "plan.json", "--model", light_model("zfnet512"))
        assert result.exit_code == 1
        assert "broken rule model: sha256" in result.stdout

    def test_what_is_no_plan(self, tmp_path: Path) -> None:
        (tmp_path / "p.json").write_text("{")
        result = run("check", tmp_path / "p.json")
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        (tmp_path / "p.json").write_text("[]")
        result = run("check", tmp_path / "p.json")
        assert result.exit_code == 1
        assert "broken rule schema: plan must be an object, not a list of 0" in result.stdout


class TestPack:
    ROWS = "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n"

    def test_packs(self, tmp_path: Path) -> None:
        (tmp_path / "in.csv").write_text(self.ROWS)
        out = tmp_path / "out.csv"
        words: list[str | Path] = ["--capacity", "12", "-o", out, "--json", tmp_path / "s.json"]
        result = run("pack", tmp_path / "in.csv", *words)
        assert result.exit_code == 0, result.output
        rows = out.read_text().splitlines()
        assert rows[0] == "id,lower,upper,size,offset"
        assert [row.rpartition(",")[0] for row in rows[1:]] == self.ROWS.splitlines()[1:]
        assert json.loads((tmp_path / "s.json").read_text())["status"] == "packed"

    def test_infeasible_says_why_and_writes_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "in.csv").write_text(self.ROWS)
        result = run("pack", tmp_path / "in.csv", "--capacity", "11", "-o", tmp_path / "o.csv")
        assert result.exit_code == 1
        assert result.stdout == "infeasible: the buffers need 12 of 11 bytes at time 0\n"
        assert not (tmp_path / "o.csv").exists()

    @pytest.mark.parametrize(
        ("capacity", "output", "message"),
        [
            ("many", "o.csv", "--capacity must be a number of bytes"),
            ("12", "none/o.csv", "must be writable"),
            ("0", "o.csv", "capacity and alignment must be positive"),
        ],
    )
    def test_bad_input(self, tmp_path: Path, capacity: str, output: str, message: str) -> None:
        (tmp_path / "in.csv").write_text(self.ROWS)
        words: list[str | Path] = ["--capacity", capacity, "-o", tmp_path / output]
        result = run("pack", tmp_path / "in.csv", *words)
        assert result.exit_code == 2
        assert message in result.stderr
        assert [p.name for p in tmp_path.iterdir()] == ["in.csv"]
