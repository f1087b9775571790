//! Sizes, rates and times for people.

use peerage_node::client::LastHeld;

/// Bytes in binary units with three significant digits: `999 B`, `1.50 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A rate limit, if there is one: `1.50 MiB/s`.
pub fn limit(bytes_per_second: Option<u64>) -> String {
    bytes_per_second.map_or_else(|| "unlimited".to_owned(), |rate| format!("{}/s", bytes(rate)))
}

/// `one` or `n` of something.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// A length of time in its two largest units: `42 s`, `3 min 5 s`, `2 h 7 min`, `3 d 4 h`.
pub fn duration(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Files that are named one by one when somebody goes who is the last to have them.
const LAST_HELD_NAMED: usize = 5;

/// What to know of them: `nobody else online has [lab] a.bin: no member can …`. Nothing when there are none.
pub fn last_held(files: &[LastHeld]) -> Option<String> {
    let named: Vec<String> =
        files.iter().take(LAST_HELD_NAMED).map(|file| format!("[{}] {}", file.group, file.name)).collect();
    let more = match files.len().saturating_sub(LAST_HELD_NAMED) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let them = if files.len() == 1 { "it" } else { "them" };
    let until = format!("no member can download {them} until you, or another sharer, are online");
    (!files.is_empty()).then(|| format!("nobody else online has {}{more}: {until}", named.join(", ")))
}

/// Milliseconds since the Unix epoch as `2026-11-24 23:59:58.123 UTC`, in the Gregorian calendar.
pub fn utc(unix_ms: u64) -> String {
    let to_the_minute = peerage_types::utc(unix_ms);
    let to_the_minute = to_the_minute.trim_end_matches(" UTC");
    format!("{to_the_minute}:{:02}.{:03} UTC", unix_ms / 1000 % 60, unix_ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(utc(3_723_004), "1970-01-01 01:02:03.004 UTC");
        assert_eq!(utc(1_798_761_599_999), "2026-12-31 23:59:59.999 UTC");
    }

    #[test]
    fn who_goes_hears_of_five_files() {
        let said = |count: usize| {
            let file = |i| LastHeld { group: "lab".into(), name: format!("{i}.bin") };
            last_held(&(1..=count).map(file).collect::<Vec<_>>())
        };
        assert_eq!(said(0), None);
        let one = "nobody else online has [lab] 1.bin: no member can download it until you, or another sharer, are online";
        assert_eq!(said(1).as_deref(), Some(one));
        let five = "nobody else online has [lab] 1.bin, [lab] 2.bin, [lab] 3.bin, [lab] 4.bin, [lab] 5.bin";
        let until = "no member can download them until you, or another sharer, are online";
        assert_eq!(said(5), Some(format!("{five}: {until}")));
        assert_eq!(said(7), Some(format!("{five} and 2 more: {until}")));
    }

    #[test]
    fn durations() {
        let shown = |seconds| duration(std::time::Duration::from_secs(seconds));
        assert_eq!([0, 59, 60, 3_599].map(shown), ["0 s", "59 s", "1 min 0 s", "59 min 59 s"]);
        assert_eq!([3_600, 86_399, 100_000].map(shown), ["1 h 0 min", "23 h 59 min", "1 d 3 h"]);
    }

    #[test]
    fn units() {
        let shown: Vec<String> =
            [0, 999, 1000, 1536, 10_240, 1_048_576, 1_048_575, 1_500_000_000, u64::MAX].map(bytes).into();
        assert_eq!(
            shown,
            [
                "0 B", "999 B", "0.98 KiB", "1.50 KiB", "10.0 KiB", "1.00 MiB", "1.00 MiB", "1.40 GiB",
                "16.0 EiB"
            ]
        );
        assert_eq!((count(1, "sharer"), count(0, "sharer")), ("1 sharer".into(), "0 sharers".into()));
    }
}
