"""How what is wanted reaches the stations.

`model` says what comes next, `engine` does it, with new `revisions`; `pusher` sends them to the
stations that `convergence` names. `replacing` is about boxes that take over a name, `inherited`
about what an earlier manager had begun.
"""
