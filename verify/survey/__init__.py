"""The neighbourhood of one problem: how sizes and errors move with depth and tolerance."""
