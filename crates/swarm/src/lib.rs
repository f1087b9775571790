//! Piece selection, pipelining and peer scoring as a pure state machine
