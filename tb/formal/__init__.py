"""Formal proofs: properties of blocks, and what proves or refutes them."""
