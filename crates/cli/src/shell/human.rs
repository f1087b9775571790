//! Sizes, rates and times for people.

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

/// `one` or `n` of something.
pub fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Milliseconds since the Unix epoch as `2026-11-24 23:59:58.123 UTC`, in the Gregorian calendar.
pub fn utc(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hour, minute, second, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03} UTC")
}

/// Year, month and day of a day counted from 1970-01-01. Years are taken to begin in March, so that the leap day is the
/// last one and months have a simple pattern of lengths.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From 0000-03-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Five months from March on have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let day = |days: u64| utc(days * 86_400_000 + 3_723_004);
        assert_eq!(day(0), "1970-01-01 01:02:03.004 UTC");
        assert_eq!(day(11_016), "2000-02-29 01:02:03.004 UTC");
        assert_eq!(day(11_017), "2000-03-01 01:02:03.004 UTC");
        assert_eq!(day(20_513), "2026-03-01 01:02:03.004 UTC");
        assert_eq!(utc(1_798_761_599_999), "2026-12-31 23:59:59.999 UTC");
        // 2100 is no leap year.
        assert_eq!((date(47_540), date(47_541)), ((2100, 2, 28), (2100, 3, 1)));
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
