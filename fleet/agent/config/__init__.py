"""What is wanted of this station: received, decided, saved.

`accept` decides, by what `validate` finds; `received` has it done, and `store` keeps it.
`catalogue` knows the roles there are, each tried by `trial` and looked at by `declared`.
"""
