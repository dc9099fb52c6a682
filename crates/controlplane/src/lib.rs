//! L3: the shell that joins the pure core to stores, sites and time.
