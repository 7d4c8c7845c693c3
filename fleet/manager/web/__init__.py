"""What the manager serves over HTTP.

`server` is all of it, behind the `door`. `page` is for people, who come in by `signing_in`, stay in
by `sessions` and ask by `doing`; `metrics` and `access_metrics` are for Prometheus, `alerts` hears
Alertmanager. `certificate` is for HTTPS.
"""
