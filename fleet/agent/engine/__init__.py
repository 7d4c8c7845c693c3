"""What runs on this station: compared with what is wanted, started, watched, ended.

`reconcile` finds the steps, `supervisor` takes them; `instance` is one instance's life, and begins
anew by `policy`; `told` is what is said of it. `host` is what a role is given; `recordings` watches
their disk; `tidying` has roles finish what was left; `clock` is time.
"""
