"""The page at `/`, for people with no Grafana at hand: which room needs somebody, and why.

`cards` makes rooms of what `manager.health` found, `routes` serves them and the files beside this
one, which a browser runs as they are. `talks` draws a day of talks, `talks_page` serves it at
`/talks`.
"""
