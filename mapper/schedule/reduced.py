"""Operators that some cheapest schedule runs without a break are made one.

Three steps, repeated while they apply; each leaves the least traffic as it is.

* Forward: the only result `a` of `u` is read by `v` alone, `v` reads nothing else that was not on
  chip for `u`, makes one tensor no larger than `a`, and needs, beside all that `u` read and others
  still want, no more room than `u`. Then `v` can follow `u` at once: whatever a schedule does to
  `a` until it runs `v`, it can do to the result of `v` instead.
* Backward, the same in reverse: `u` reads one tensor that nobody else reads, no larger than its
  only result `a`, which `v` alone reads; and beside the other operands of `v` it needs no more room
  than `v`. Then `u` can wait until `v` is next.
* Twins, operators that read the same and whose equal results are read by the same, run in one order.
"""

from __future__ import annotations

from dataclasses import dataclass

from mapper.schedule.problem import Problem, Schedule, bits, repaired, residency_of, use_steps

__all__ = ["Reduced", "reduced"]


@dataclass(frozen=True)
class Reduced:
    """A smaller problem of the same least traffic.

    Attributes
    ----------
    original, problem : Problem
        As it was, and with operators made one. What an operator occupies beyond its operands is a
        tensor of its own that nobody reads.
    members : tuple of tuple of int
        Operators of the original in each operator of the smaller problem, in the order in which
        they run.
    tensors : tuple of int
        Tensors of the original in those of the smaller problem; -1 for room of an operator.
    """

    original: Problem
    problem: Problem
    members: tuple[tuple[int, ...], ...]
    tensors: tuple[int, ...]

    def grouped(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """An order of the smaller problem that is like one of the original."""
        at = {o: t for t, o in enumerate(order)}
        last = [max(at[o] for o in own) for own in self.members]
        wanted = sorted(self.problem.operators, key=lambda group: last[group])
        return tuple(repaired(self.problem.predecessors, wanted))

    def order(self, order: tuple[int, ...]) -> tuple[int, ...]:
        """The original's operators as they run in an order of the smaller problem."""
        return tuple(o for group in order for o in self.members[group])

    def expanded(self, schedule: Schedule) -> Schedule:
        """The schedule of the original that a schedule of the smaller problem stands for."""
        order = self.order(schedule.order)
        group_at = [t for t, group in enumerate(schedule.order) for _ in self.members[group]]
        begun: list[set[int]] = [set() for _ in self.original.sizes]
        for a, intervals in zip(self.tensors, schedule.residency, strict=True):
            if a >= 0:
                begun[a] = {i.first for i in intervals}
        begins: list[set[int]] = []
        for a, uses in enumerate(use_steps(self.original, order)):
            first_of_group = {group_at[t]: t for t in reversed(uses)}
            begins.append({t for g, t in first_of_group.items() if g in begun[a]})
        return Schedule(order, residency_of(self.original, order, begins))


class _Groups:
    """Operators and tensors while they are made one."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        sizes = problem.sizes
        self.members = [[o] for o in problem.operators]
        self.reads = [set(r) for r in problem.inputs]
        # Room for results that nobody reads and nobody stores is part of the load alone.
        self.makes = [
            {a for a in m if problem.consumers[a] or a in problem.network_outputs}
            for m in problem.outputs
        ]
        self.load = [sum(sizes[a] for a in operands) for operands in problem.operands]
        self.users = [set(c) for c in problem.consumers]
        self.before = list(problem.predecessors)
        self.then = [0] * len(problem.inputs)
        for o, mask in enumerate(self.before):
            for p in bits(mask):
                self.then[p] |= 1 << o

    def _inner(self, u: int) -> tuple[int, int] | None:
        """The only result of `u`, if a single operator reads it and nobody stores it; and who."""
        if len(self.makes[u]) != 1:
            return None
        (a,) = self.makes[u]
        if a in self.problem.network_outputs or len(self.users[a]) != 1:
            return None
        (v,) = self.users[a]
        return a, v

    def _bytes(self, tensors: set[int]) -> int:
        return sum(self.problem.sizes[a] for a in tensors)

    def forward(self, u: int) -> bool:
        found = self._inner(u)
        if found is None:
            return False
        a, v = found
        sizes = self.problem.sizes
        others = self.reads[v] - {a}
        if others - self.reads[u] or len(self.makes[v]) != 1:
            return False
        (b,) = self.makes[v]
        if sizes[b] > sizes[a] and self.users[b]:
            return False
        staying = {x for x in self.reads[u] - others if self.users[x] != {u}}
        if self.load[v] + self._bytes(staying) > self.load[u]:
            return False
        if self.before[v] & ~(1 << u) & ~self.before[u]:
            return False
        self._merge(u, v, a, keep=u)
        return True

    def backward(self, u: int) -> bool:
        found = self._inner(u)
        if found is None or len(self.reads[u]) != 1:
            return False
        a, v = found
        (x,) = self.reads[u]
        problem = self.problem
        if self.users[x] != {u} or x in problem.network_outputs:
            return False
        if problem.producer[x] >= 0 and problem.sizes[x] > problem.sizes[a]:
            return False
        if self.then[u] != 1 << v:
            return False
        if self.load[u] + self._bytes(self.reads[v] - {a}) > self.load[v]:
            return False
        self._merge(u, v, a, keep=v)
        return True

    def _merge(self, u: int, v: int, a: int, *, keep: int) -> None:
        """Makes `u` and `v` one, under the number of `keep`."""
        gone = v if keep == u else u
        reads = self.reads[u] | self.reads[v] - {a}
        makes = self.makes[v]
        members = self.members[u] + self.members[v]
        for x in self.reads[gone]:
            self.users[x].discard(gone)
        for x in reads:
            self.users[x].add(keep)
        self.users[a] = set()
        before = (self.before[u] | self.before[v]) & ~(1 << u | 1 << v)
        then = (self.then[u] | self.then[v]) & ~(1 << u | 1 << v)
        for p in bits(before):
            self.then[p] = self.then[p] & ~(1 << u | 1 << v) | 1 << keep
        for p in bits(then):
            self.before[p] = self.before[p] & ~(1 << u | 1 << v) | 1 << keep
        self.reads[keep], self.makes[keep], self.members[keep] = reads, makes, members
        self.before[keep], self.then[keep] = before, then
        self.load[keep] = max(self.load[u], self.load[v])
        self.reads[gone], self.makes[gone], self.members[gone] = set(), set(), []
        self.before[gone] = self.then[gone] = 0

    def chain_from(self, u: int) -> tuple[object, ...] | None:
        """What distinguishes the chain that begins with `u`; None where there is more than a chain."""
        steps: list[tuple[int, int]] = []
        o = u
        while True:
            if len(self.makes[o]) != 1:
                return None
            (a,) = self.makes[o]
            if a in self.problem.network_outputs:
                return None
            steps.append((self.load[o], self.problem.sizes[a]))
            users = self.users[a]
            v = next(iter(users))
            if len(users) == 1 and self.reads[v] == {a} and self.before[v] == 1 << o:
                if self.then[o] != 1 << v:
                    return None
                o = v
                continue
            if self.then[o] != sum(1 << c for c in users):
                return None
            return frozenset(self.reads[u]), self.before[u], tuple(steps), frozenset(users)


def reduced(problem: Problem) -> Reduced:
    """The smaller problem, which may be as large as the original."""
    groups = _Groups(problem)
    changed = True
    while changed:
        changed = False
        for u in problem.operators:
            while groups.members[u] and (groups.forward(u) or groups.backward(u)):
                changed = True
    last: dict[tuple[object, ...], int] = {}
    for u in problem.operators:
        if groups.members[u] and (chain := groups.chain_from(u)) is not None:
            if chain in last:
                groups.before[u] |= 1 << last[chain]
            last[chain] = u
    return _built(problem, groups)


def _built(problem: Problem, groups: _Groups) -> Reduced:
    kept = [o for o in problem.operators if groups.members[o]]
    number = {o: i for i, o in enumerate(kept)}
    tensors = sorted({a for o in kept for a in (*groups.reads[o], *groups.makes[o])})
    at = {a: i for i, a in enumerate(tensors)}
    sizes = [problem.sizes[a] for a in tensors]
    inputs, outputs, after = [], [], []
    for o in kept:
        reads, makes = groups.reads[o], groups.makes[o]
        room = groups.load[o] - sum(problem.sizes[a] for a in reads | makes)
        writes = [at[a] for a in sorted(makes)]
        if room:
            writes.append(len(sizes))
            sizes.append(room)
        inputs.append(tuple(at[a] for a in sorted(reads)))
        outputs.append(tuple(writes))
        after.append(tuple(number[p] for p in bits(groups.before[o])))
    smaller = Problem(
        sizes=tuple(sizes),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        network_outputs=frozenset(at[a] for a in problem.network_outputs if a in at),
        after=tuple(after),
    )
    return Reduced(
        problem,
        smaller,
        tuple(tuple(groups.members[o]) for o in kept),
        (*tensors, *[-1] * (len(sizes) - len(tensors))),
    )
