"""What several gradient steps do together: bounds on the curvature of L_n that a checker can verify."""
