"""What was heard of the stations.

`inventory` folds it into what is so, with what is remembered of `instances` and `stops`; `state` is
one station at one moment. `telemetry` and `thumbnails` keep the newest. `allowances` bound what one
may cost.
"""
