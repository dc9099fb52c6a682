//! Dev: builders and fakes for every port.
