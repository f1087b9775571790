//! The engine against itself and against raw peers, on the loopback.
