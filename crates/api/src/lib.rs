//! L4: every inbound door.
