"""What commands share: options, progress, the terminal and the files of a run."""
