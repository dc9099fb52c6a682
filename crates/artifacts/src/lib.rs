//! L2: content-addressed stores, one per site, and transfers between them.
