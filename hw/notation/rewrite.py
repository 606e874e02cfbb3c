"""The rewrites, by name. Each is a transformation of the tree, with a check of its own.

==== ========================================= ====================================================
rule rewrite                                   legal when
==== ========================================= ====================================================
R1   hoist ``add`` over a loop that sums       the pair is redundant, and the true result fits W
R2   interchange bit weights with K            only sums depend on the order
R3   hoist ``shift``                           the loop over bit weights encloses the accumulation
R4   hoist ``encode`` and ``sparse``           the crossed loop is not in the index of A
R5   strip-mine K and unroll                   the accumulator takes it; the tail is padded
R6   dense to sparse                           a zero digit contributes zero
R7   retime                                    latency alone changes; tags are delayed equally
R8   Winograd's inner product                  K is even or padded; corrections are subtracted
R9   free pipeline of pre-sums                 all columns share the element of A
R10  leave out sign extension and negators     the number of passes is known; W bits wrap
==== ========================================= ====================================================

R1 to R7 are those of Wu et al., HPCA 2025; R8 is Winograd, IEEE Trans. Computers C-17 (1968), and
R9 Pogue and Nicolici, IEEE Trans. Computers 73 (2024). R10 is our own form of what multipliers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.notation.defer import defer_signs
from hw.notation.hoist import hoist_add, hoist_shift
from hw.notation.inner import fast_inner_product, free_pipeline
from hw.notation.interchange import interchange
from hw.notation.nest import Nest
from hw.notation.retime import retime
from hw.notation.share import hoist_encode
from hw.notation.sparse import make_sparse
from hw.notation.strip import strip_mine
from hw.notation.tree import IllegalRewrite, Step

__all__ = ["RULES", "IllegalRewrite", "Step", "rewrite"]

RULES: dict[str, Callable[..., Step]] = {
    "R1": hoist_add,
    "R2": interchange,
    "R3": hoist_shift,
    "R4": hoist_encode,
    "R5": strip_mine,
    "R6": make_sparse,
    "R7": retime,
    "R8": fast_inner_product,
    "R9": free_pipeline,
    "R10": defer_signs,
}


def rewrite(nest: Nest, rule: str, **options: Any) -> Step:
    """``RULES[rule](nest, **options)``.

    Raises
    ------
    IllegalRewrite
        The nest would mean something else; the message says why.
    """
    if rule not in RULES:
        raise IllegalRewrite(f"Rule must be one of {', '.join(RULES)}, not {rule!r}.")
    if rule != "R7" and any(getattr(node, "delay", 0) for _, _, node in nest.walk()):
        raise IllegalRewrite(f"{rule} must come before retiming (R7), not after it.")
    return RULES[rule](nest, **options)
