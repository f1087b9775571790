//! A hash over everything that happened, by which two runs are compared: FNV-1a over 64-bit words.

/// The running hash of one run.
#[derive(Clone, Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// What happened: a word that names the kind, and its numbers.
    pub(crate) fn add(&mut self, kind: &str, numbers: &[u64]) {
        for byte in kind.bytes().chain(numbers.iter().flat_map(|n| n.to_le_bytes())) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.0
    }
}
