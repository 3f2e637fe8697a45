"""The zoo for a person: the list of its models, and a README of one."""
