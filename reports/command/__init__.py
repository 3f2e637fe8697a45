"""What commands share: options, run-time estimates, progress bars, terminal output, files of a run."""
