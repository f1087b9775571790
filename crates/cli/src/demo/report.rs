//! The table at the end.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};

/// How one member's download went.
pub struct Row {
    pub name: &'static str,
    pub complete: bool,
    pub bytes_done: u64,
    pub bytes_per_second: f64,
    pub seconds: f64,
    pub sources: Vec<(String, u64)>,
    pub digest: String,
}

/// BLAKE3 of a file, read anew from disk and independent of what the members verified.
pub fn digest(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read the copy `{}`", path.display()))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Prints who got what from whom, and whether it is the same file.
pub fn print(owner: &str, file: &str, size: u64, original: &str, rows: &[Row], killed_at: Option<u64>) {
    println!();
    println!("{file}, {}, BLAKE3 {}… at {owner}", bytes(size), short(original));
    println!("{:8} {:>7} {:>12}  {:24} from", "member", "time", "rate", "digest of the copy");
    for row in rows {
        let verdict = if row.digest == original { "identical" } else { "DIFFERENT" };
        let sources: Vec<String> =
            row.sources.iter().map(|(user, n)| format!("{user} {}", bytes(*n))).collect();
        let rate = if row.seconds > 0.0 { size as f64 / row.seconds } else { 0.0 };
        println!(
            "{:8} {:>5.1} s {:>10}/s  {:24} {}",
            row.name,
            row.seconds,
            bytes(rate as u64),
            format!("{}… {verdict}", short(&row.digest)),
            sources.join(" · ")
        );
    }
    match killed_at {
        Some(percent) => println!("tracker 1 was killed when {percent} % had arrived; nobody noticed"),
        None => println!("the transfer ended before tracker 1 could be killed half-way"),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(256 * 1024 * 1024), "256.0 MiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }
}
