//! End-to-end tests: real processes on loopback, driven through their pipes.

mod capture;
mod command_line;
mod demo;
mod failover;
mod refusals;
mod resume;
mod stranger;
mod transcript;
mod world;
