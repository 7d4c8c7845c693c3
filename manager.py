"""`python -m manager`, the word of an earlier design: says today's."""

import sys

_TODAY = "there is no program `manager`: it is `python -m fleet.manager`, or `fleet-manager run`"

if __name__ == "__main__":
    sys.exit(_TODAY)
raise ImportError(_TODAY)
