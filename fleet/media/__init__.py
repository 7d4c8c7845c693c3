"""What roles share: sources, targets, devices, segments, ffmpeg and GStreamer.

From the outside in: `sources` are read by ffmpeg, as `reach`, `login`, `playlist` and `tracks` say;
`inputs` are captured by GStreamer, as `pipelines` say, from `devices`; `formats` are sizes and
rates. `child`, `ffmpeg` and `reading` are roles that are one child, which is handed its source as
`passing` says; `progress`, `meter` and `encoders` are about what it does, `mixing` about a mixer.
From here out: `segments` and `local_copy` write files, `archive` and `began` know them, `disk`
waits for them; `targets` are for streams, `storage`, `copies`, `copying`, `verifying` and `rsync`
for copies.
"""
