//! L2: connectors: manifests and the runtimes they need.
