"""Child processes: started, taken over, read, ended.

`process` is one of them, in a group of `cgroups`; `output` reads what it writes. `left_behind`
finds those of an earlier agent, and `adoption` decides who takes them over.
"""
