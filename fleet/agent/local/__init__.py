"""For whoever stands at the box.

`typed` is what people type after `fleet-agent`, `socket` how the running agent is asked, `show`
what they see. `check` says whether the box has all it needs, as the `service` that is installed
sees it; `belonging` has it join a fleet or be nobody's, `left` ends what a dead agent left running.
"""
