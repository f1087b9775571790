//! Seeded simulation of replication and swarms, with invariant checkers
