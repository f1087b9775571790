//! Replication between trackers as a pure state machine
