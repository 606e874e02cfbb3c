"""Whether a nest has a meaning."""

from __future__ import annotations

from hw.errors import InputError
from hw.notation.index import Affine
from hw.notation.nest import Assign, Call, Kind, Loop, Nest, Ref, Sync, calls, is_pair
from hw.notation.recode import digit_count
from hw.notation.scope import is_accumulation, mentioned, scopes
from hw.notation.widths import encoded_format

__all__ = ["validate"]


def validate(nest: Nest) -> None:
    """Refuses a nest without a meaning.

    Raises
    ------
    InputError
        One sentence: what is wrong, and where.
    """
    homes = scopes(nest)
    extents: dict[str, int] = {}
    made: set[str] = set()
    for name, definition in nest.where:
        unknown = nest.expand(definition).variables - {
            node.var for _, _, node in nest.walk() if isinstance(node, Loop)
        }
        if unknown:
            raise _bad(nest, f"{name} must be made of loop variables, not of {min(unknown)!r}")
    if nest.width("C") is None:
        raise _bad(nest, "C must have a width, such as 'bits C = 32'")
    for path, around, node in nest.walk():
        open_loops = {one.var: one for one in around}
        if isinstance(node, Sync):
            if node.var not in open_loops or open_loops[node.var].kind is not Kind.SPATIAL:
                raise _bad(nest, f"sync must name a spatial loop around it, not {node.var!r}")
            continue
        if isinstance(node, Loop):
            if node.var in open_loops or node.var in dict(nest.where):
                raise _bad(nest, f"loop variable must be new, not {node.var!r} again")
            if extents.setdefault(node.var, node.extent) != node.extent:
                raise _bad(nest, f"loops over {node.var} must all have one extent")
            if node.over is not None and node.over.name not in made:
                raise _bad(nest, f"{node.over.name} must be assigned before its sparse loop")
            continue
        for ref in mentioned(node):
            for index in ref.index:
                if isinstance(index, Affine):
                    missing = nest.expand(index).variables - open_loops.keys()
                    if missing:
                        raise _bad(nest, f"{ref.name} must be inside a loop over {min(missing)!r}")
            if is_pair(ref.name) and nest.width(ref.name) is None:
                raise _bad(nest, f"pair {ref.name} must have a width")
        if node.target.name in ("A", "B"):
            raise _bad(nest, f"{node.target.name} must not be assigned")
        _check_pairs(nest, node)
        _check_digits(nest, node, open_loops)
        _check_race(nest, node, around, homes, path)
        made.add(node.target.name)


def _check_pairs(nest: Nest, node: Assign) -> None:
    reduces = isinstance(node.value, Call) and node.value.primitive == "half_reduce"
    if reduces != is_pair(node.target.name):
        raise _bad(
            nest, f"half_reduce must be assigned to a pair, and a pair to it: {node.target.name}"
        )
    for made in calls(node.value):
        if made.primitive == "half_reduce" and made is not node.value:
            raise _bad(nest, "half_reduce must be a whole right-hand side")
        for argument in made.arguments:
            if not isinstance(argument, Ref):
                continue
            if is_pair(argument.name) and made.primitive not in ("half_reduce", "add", "unbias"):
                raise _bad(
                    nest,
                    f"{made.primitive} must have a number, not the pair {argument.name}: "
                    "add its two words first",
                )
            if made.primitive in ("add", "unbias") and not is_pair(argument.name):
                raise _bad(nest, f"{made.primitive} must have a pair, not {argument.name}")
            if (
                made.primitive == "half_reduce"
                and is_pair(argument.name)
                and nest.width(argument.name) != nest.width(node.target.name)
            ):
                raise _bad(
                    nest,
                    f"{argument.name} and {node.target.name} must have one width: "
                    "a pair cannot be extended word by word",
                )
    if isinstance(node.value, Ref) and is_pair(node.value.name):
        raise _bad(nest, f"{node.target.name} must be a number, not the pair {node.value.name}")


def _check_digits(nest: Nest, node: Assign, open_loops: dict[str, Loop]) -> None:
    for made in calls(node.value, "encode"):
        count = digit_count(nest.recoding, encoded_format(nest, made.arguments[0]))
        for name in nest.expand(made.at[0]).variables:
            if open_loops[name].extent != count:
                raise _bad(
                    nest,
                    f"loop over {name} must have {count} digits, not {open_loops[name].extent}",
                )


def _check_race(
    nest: Nest,
    node: Assign,
    around: tuple[Loop, ...],
    homes: dict[str, tuple[int, ...]],
    path: tuple[int, ...],
) -> None:
    if is_accumulation(node):
        return
    home = homes.get(node.target.name, ())
    own = nest.loop_variables(node.target)
    for one in around[len(home) :]:
        if one.kind is Kind.SPATIAL and one.var not in own:
            raise _bad(
                nest, f"{node.target.name} must have {one.var} in its index: its passes run at once"
            )


def _bad(nest: Nest, message: str) -> InputError:
    return InputError(f"Nest {nest.name}: {message}.")
