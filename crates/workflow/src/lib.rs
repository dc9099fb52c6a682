//! L1: the workflow language, from text to a checked graph and back to text.
