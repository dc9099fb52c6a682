//! L2: the code that drives attempts on a kind of site.
