//! The tracker: HTTP API over TLS, OPAQUE server and the shell of the replica
