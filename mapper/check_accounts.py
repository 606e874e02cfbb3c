"""The rules about what a plan adds up: bytes, bound, gap and status."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mapper.check_rule import require

__all__ = ["Accounts"]


class Accounts:
    """One method per rule; the transfers are right when they are called."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.tensors = {t["name"]: t for t in plan["tensors"]}
        self.staged = {o["name"]: o["stage"] for o in plan["operators"] if o["stage"]}

    def compulsory(self) -> None:
        given = self.plan["compulsory_bytes"]
        want = {
            "activations_loaded": sum(self._loaded().values()),
            "activations_stored": self._moved("store"),
            "weights": sum(o["weight_bytes"] for o in self.plan["operators"])
            - sum(s["bytes"] * (len(s["operators"]) - 1) for s in self.plan["shared_weights"]),
        }
        want["total"] = sum(want.values())
        for name, count in want.items():
            require(
                given[name] == count,
                "compulsory",
                f"compulsory_bytes.{name} must be {count}, not {given[name]}",
            )

    def _loaded(self) -> dict[str, int]:
        """Bytes of each network input that are loaded, repetitions left out."""
        loaded: Counter[str] = Counter()
        for x in self.plan["transfers"]:
            if x["kind"] == "load":
                loaded[x["tensor"]] += x["bytes"]
        return {name: min(count, self.tensors[name]["bytes"]) for name, count in loaded.items()}

    def objective(self) -> None:
        stages = self.staged.values()
        for field in ("recomputed_macs", "reread_weight_bytes"):
            count = sum(stage[field] for stage in stages)
            if field == "reread_weight_bytes":
                count += sum(
                    s["bytes"] * (len(s["operators"]) - 1)
                    for s in self.plan["shared_weights"]
                    if s["address"] is None
                )
            require(
                self.plan[field] == count,
                "objective",
                f"{field} must be {count}, the sum over stages and shared weights, "
                f"not {self.plan[field]}",
            )
        again = self._moved("load") - sum(self._loaded().values())
        count = self._moved("fetch", "spill") + again + self.plan["reread_weight_bytes"]
        require(
            self.plan["objective_bytes"] == count,
            "objective",
            f"objective_bytes must be {count}, the fetches, spills, repeated loads and weights "
            f"read again, not {self.plan['objective_bytes']}",
        )

        self._classes()

    def _classes(self) -> None:
        """Activations and weights apart add up to the compulsory bytes and the objective."""
        once, again = self.plan["compulsory_bytes"], self.plan["reread_weight_bytes"]
        want = {
            ("weights", "compulsory"): once["weights"],
            ("weights", "non_compulsory"): again,
            ("activations", "compulsory"): once["total"] - once["weights"],
            ("activations", "non_compulsory"): self.plan["objective_bytes"] - again,
        }
        for (kind, part), count in want.items():
            given = self.plan["traffic_bytes"][kind][part]
            require(
                given == count,
                "objective",
                f"traffic_bytes.{kind}.{part} must be {count}, not {given}",
            )

    def bound(self) -> None:
        bound = self.plan["bound_bytes"]
        # Replacement alone has no addresses: what it costs, no plan need reach.
        bare = ("belady_", "write_aware_", "best_of_")
        placed = {n: c for n, c in self.plan["baselines"].items() if not n.startswith(bare)}
        limits = {"objective_bytes": self.plan["objective_bytes"], **placed}
        for name, count in limits.items():
            require(
                bound <= count,
                "bound",
                f"bound_bytes must be at most {count} ({name}), not {bound}",
            )

    def gap(self) -> None:
        objective, bound = self.plan["objective_bytes"], self.plan["bound_bytes"]
        gap = (objective - bound) / objective if objective else 0.0
        require(
            abs(self.plan["gap"] - gap) <= 1e-9,
            "gap",
            f"gap must be {gap!r}, not {self.plan['gap']!r}",
        )

    def status(self) -> None:
        equal = self.plan["objective_bytes"] == self.plan["bound_bytes"]
        want = "optimal" if equal else "feasible"
        require(
            self.plan["status"] == want,
            "status",
            f"status must be {want!r} for objective {self.plan['objective_bytes']} and bound "
            f"{self.plan['bound_bytes']}, not {self.plan['status']!r}",
        )

    def _moved(self, *kinds: str) -> int:
        return sum(x["bytes"] for x in self.plan["transfers"] if x["kind"] in kinds)
