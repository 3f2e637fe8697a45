"""What must be true of one block beside a small error: properties, looping, one prompt enclosed."""
