"""What stations recorded of which talk, and whether that is all of it and plays.

`gathering` hears of it and asks for what was missed, by what is `known` of each index; `keeper` has
all judged. `times` reads a time from the store, on the `timeline` that it really had; `coverage`
says what of a talk is there, `receipts` how it is, `cutting` in which files it lies. `forgetting`
ends it.
"""
