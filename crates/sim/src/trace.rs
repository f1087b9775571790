//! A hash over everything that happened, by which two runs are compared: FNV-1a over bytes. On demand also the
//! text, for people.

use std::fmt::Write as _;

/// The running hash of one run.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep_lines: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: keep_lines.then(Vec::new) }
    }

    /// What happened: a word that names the kind, and its numbers, the time first.
    pub(crate) fn add(&mut self, kind: &str, numbers: &[u64]) {
        for byte in kind.bytes().chain(numbers.iter().flat_map(|n| n.to_le_bytes())) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut self.lines {
            let mut line = kind.to_owned();
            for number in numbers {
                let _ = write!(line, " {number}");
            }
            lines.push(line);
        }
    }

    /// Something for people only. `text` is called when somebody reads along.
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(text());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
