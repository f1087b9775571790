//! Rates as people write them.

use peerage_node::client::RATE_MIN;

/// `500K`, `1.5M`, `2MiB/s`, `300000`: bytes per second, K, M and G by 1,024 each; `none` for no limit.
///
/// # Errors
/// What is wrong with it, and the way out.
pub(super) fn parse(option: &str, text: &str) -> Result<Option<u64>, String> {
    let folded = text.trim().to_ascii_lowercase();
    if folded == "none" {
        return Ok(None);
    }
    let number = folded.trim_end_matches("/s").trim_end_matches("ib").trim_end_matches('b');
    let (number, unit) = match number.strip_suffix(['k', 'm', 'g']) {
        Some(rest) if number.ends_with('k') => (rest, 1_u64 << 10),
        Some(rest) if number.ends_with('m') => (rest, 1 << 20),
        Some(rest) => (rest, 1 << 30),
        None => (number, 1),
    };
    let plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value = number.trim_end().parse::<f64>().ok().filter(|value| plain && value.is_finite());
    let Some(value) = value else {
        return Err(format!("`--{option} {text}` is no rate: give 500K, 2M or 1.5M (a second), or none"));
    };
    let bytes = (value * unit as f64).round() as u64;
    if bytes < RATE_MIN {
        return Err(format!(
            "`--{option} {text}` is too low: at least {}K (a second); none lifts the limit, pause_download stops a download",
            RATE_MIN / 1024
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        let read = |text| parse("up", text);
        assert_eq!(read("none"), Ok(None));
        for (text, bytes) in [
            ("300000", 300_000),
            ("500K", 500 << 10),
            ("500k/s", 500 << 10),
            ("1.5M", 3 << 19),
            ("2MiB/s", 2 << 20),
            ("1GB", 1 << 30),
            ("99999999999G", u64::MAX),
        ] {
            assert_eq!(read(text), Ok(Some(bytes)), "{text}");
        }
        for text in ["", "fast", "-1M", "1e9", "NaN", "inf", "M", "1.2.3K"] {
            assert!(read(text).unwrap_err().contains("is no rate"), "{text}");
        }
        assert_eq!(
            read("5").unwrap_err(),
            "`--up 5` is too low: at least 16K (a second); none lifts the limit, pause_download stops a download"
        );
    }
}
