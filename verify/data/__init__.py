"""Tables that people bring: how they are read, which columns are taken, how they are scaled into prompts."""
