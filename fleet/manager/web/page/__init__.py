"""The page at `/`, for people with no Grafana at hand: which room needs somebody, and why.

`troubles` says what is wrong with a station, `cards` makes rooms of it, `server` serves both and
the files beside this one, which a browser runs as they are.
"""
