"""What is wanted, from the conference file.

`file` reads it into `wanted`: `general` reads what is about no station, `merging` joins profiles,
`references` finds sources by what `offers` says, `problems` collects mistakes. `plan` compares;
`schemas` and `known` say what a station would refuse, `readers` whom a change cuts off, `masking`
hides secrets. `rooms` are in use by `hours` and `talks`. `export` goes the other way.
"""
