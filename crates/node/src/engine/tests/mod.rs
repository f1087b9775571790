//! The engine against itself and against raw peers, on the loopback. Nothing sleeps: tests wait for events and for
//! published states, with a deadline that only a hang reaches.

mod admission;
mod disk;
mod faulty;
mod flood;
mod folders;
mod hostile;
mod limits;
mod many;
mod priorities;
mod raw;
mod reach;
mod records;
mod scrub;
mod transfer;
mod world;

pub(in crate::engine) use self::world::soon;
