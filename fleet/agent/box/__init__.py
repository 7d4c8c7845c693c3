"""What this box is and measures.

`machine` is its name, card and addresses; `registration` what it says of itself, with its capture
`devices`. `figures` and `hardware` are its own metrics, `telemetry` sends these and those of roles.
`looking` looks at its own files for a check, by `decoding` them.
"""
