"""A letter of one page to the authors of a paper, with what was found about its statements."""
