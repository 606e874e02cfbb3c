"""Compiled inner loops of the searches over down-sets.

Tensors are numbered from the largest to the smallest. All numbers that are not sets are 64-bit
integers: bytes, or units where it says so.
"""

from mapper.clock import watch_compiler

watch_compiler()
