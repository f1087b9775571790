//! What a process has used so far, as the kernel counts it. Linux only; elsewhere the figures are absent.

use std::fs;

/// Kernel clock ticks per second in `/proc/PID/stat`: fixed at 100 for user space on every Linux port.
const TICKS_PER_SECOND: f64 = 100.0;

/// A reading.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: Option<f64>,
    /// Peak resident memory.
    pub peak_mib: Option<f64>,
}

impl Usage {
    /// Reads the counters of a live process.
    pub fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The second field may hold spaces and brackets: count from behind the last bracket.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_ascii_whitespace()
            .filter_map(|f| f.parse().ok())
            .collect();
        // The state letter does not parse, so utime (field 14) and stime (15) are at 10 and 11.
        let cpu_seconds = fields.get(10).zip(fields.get(11)).map(|(u, s)| (u + s) / TICKS_PER_SECOND);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak_mib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok())
            .map(|kib| kib / 1024.0);
        Self { cpu_seconds, peak_mib }
    }

    /// CPU seconds since an earlier reading.
    pub fn cpu_since(&self, earlier: &Self) -> Option<f64> {
        Some(self.cpu_seconds? - earlier.cpu_seconds?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        if cfg!(target_os = "linux") {
            let usage = Usage::of(std::process::id());
            assert!(usage.peak_mib.is_some_and(|mib| mib > 0.5), "{usage:?}");
            assert!(usage.cpu_since(&Usage::default()).is_none());
            assert!(usage.cpu_seconds.is_some());
        }
    }
}
