"""Who is let in: the broker's accounts, and how a new box gets one.

`init` sets a server up, with an `authority` of its own; `renewing` and `certificate` see to what
ends. `broker` changes the accounts, `topics` says what each may. `joining` answers boxes that ask,
as `judging` decides (pure); `waiting` are those for somebody's yes, `credentials` what they have.
"""
