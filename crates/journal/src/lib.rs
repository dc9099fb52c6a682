//! L2: the durable, ordered facts and the projections made from them.
