"""Loop nests of a matrix multiplication in the bit-weight dimension: written, rewritten, checked.

`nest` says what a nest is and means, `parse` and `show` are its text form, `evaluate` runs it,
`rewrite` transforms it, `count` and `cycles` say what it costs, and `derive` leads from the
traditional nest to each processing element.
"""
