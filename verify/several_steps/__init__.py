"""What is proved about several steps: the curvature of L_n, a tube around exact descent, single prompts."""
