"""reports.traffic: bytes per tensor and class, against plan and program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from bitweft.run_figures import planned_traffic, program_traffic
from hw.isa import Load, Store
from reports.traffic import Class, tensor_figure, total_traffic, traffic_per_tensor
from tests.planned_networks import (
    Planned,
    digits_on_tiny,
    in_patches,
    in_tiles,
    spilling,
    whole,
)

CASES: list[Callable[[], Planned]] = [
    digits_on_tiny,
    *(partial(whole, seed) for seed in range(3)),
    *(partial(spilling, seed) for seed in range(3)),
    *(partial(in_patches, seed) for seed in range(8)),
    *(partial(in_tiles, seed) for seed in range(2)),
]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_classes_sum_to_the_plan_and_to_the_bus(number: int) -> None:
    case = CASES[number]()
    tensors = traffic_per_tensor(case.plan, case.lowered)
    total = total_traffic(tensors)
    assert sum(n for kind, n in total.items() if kind.compulsory) == sum(case.plan.compulsory)
    added = sum(n for kind, n in total.items() if kind.compulsory is False)
    assert added == case.plan.objective_bytes
    assert total[Class.WEIGHTS_AGAIN] == case.plan.reread_weight_bytes
    on_bus = sum(program_traffic(case.lowered.program, case.spec))
    assert sum(total.values()) == on_bus == sum(planned_traffic(case.plan, case.lowered.program))
    assert all(n > 0 for t in tensors for n in t.bytes.values())
    assert [t.total for t in tensors] == sorted((t.total for t in tensors), reverse=True)


@pytest.mark.parametrize("number", range(len(CASES)))
def test_each_tensor_has_the_bytes_of_its_instructions(number: int) -> None:
    case = CASES[number]()
    read: Counter[str] = Counter()
    written: Counter[str] = Counter()
    for instruction, (operator, tensor) in zip(
        case.lowered.program, case.lowered.purposes, strict=True
    ):
        if isinstance(instruction, Load):
            read[tensor or f"weights of {operator}"] += instruction.words * case.spec.word_bytes
        elif isinstance(instruction, Store):
            written[tensor] += instruction.words * case.spec.word_bytes
    found = {t.name: t.bytes for t in traffic_per_tensor(case.plan)}
    assert found.keys() == read.keys() | written.keys()
    for name, classes in found.items():
        out = classes.get(Class.OUTPUTS, 0) + classes.get(Class.SPILLS, 0)
        assert out == written[name]
        assert sum(classes.values()) - out == read[name]


def test_rows_that_patches_share_are_told_apart_from_fetches() -> None:
    again = spilled = 0
    for seed in range(8):
        case = in_patches(seed)
        for t in traffic_per_tensor(case.plan):
            tensor = next((x for x in case.plan.tensors if x.name == t.name), None)
            if tensor is None or not t.bytes.get(Class.ROWS):
                continue
            # Slices of the tensor overlap, in some stage.
            seen: Counter[tuple[int, int]] = Counter()
            for move in case.plan.transfers:
                if move.tensor == t.name and move.kind in ("load", "fetch"):
                    seen.update((move.step, part) for part in range(move.first, move.last))
            assert max(seen.values()) > 1
            again += 1
            spilled += Class.SPILLS in t.bytes
    assert again > 0
    assert spilled > 0


def test_a_tensor_that_leaves_and_returns() -> None:
    plan = spilling(1).plan
    classes = {t.name: t.bytes for t in traffic_per_tensor(plan)}
    for kind, wanted in (("spill", Class.SPILLS), ("fetch", Class.FETCHES)):
        moved = [t for t in plan.transfers if t.kind == kind]
        assert moved
        for name in {t.tensor for t in moved}:
            assert classes[name][wanted] == sum(t.bytes for t in moved if t.tensor == name)


def test_the_figure_names_tensors_and_classes() -> None:
    case = spilling(1)
    tensors = traffic_per_tensor(case.plan, case.lowered)
    figure = tensor_figure(tensors, "a network")
    compulsory, more = figure.axes
    assert "Compulsory" in compulsory.get_title()
    assert "Non-compulsory" in more.get_title()
    names = [text.get_text() for text in more.get_yticklabels()]
    assert names == [
        t.name for t in sorted(tensors, key=lambda t: (-t.part(False), t.name)) if t.part(False)
    ]
    lengths = [float(text.get_text()[:-2].replace(",", "")) for text in compulsory.texts]
    assert lengths == sorted(lengths, reverse=True)
    assert sum(lengths) == sum(t.total - t.part(False) for t in tensors)
    legend = [text.get_text().split(",")[0] for text in figure.legends[0].get_texts()]
    assert legend == [kind.value for kind, n in total_traffic(tensors).items() if n]
