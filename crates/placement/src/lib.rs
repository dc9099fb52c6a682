//! L1: which site an action should run on, and why.
