"""What roles share: sources, targets, devices, segments, ffmpeg and GStreamer."""
