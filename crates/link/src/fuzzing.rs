//! What the fuzz target and the corpus replay both call. No part of the interface.

use std::path::Path;

use peerage_types::limits::TRACKERS_MAX;

use crate::list::TrackerList;

/// Reads arbitrary bytes as a tracker list: an error, or a list that reads the same when written plainly.
pub fn tracker_list(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("fuzz.txt");
    let list = match TrackerList::parse(path, text) {
        Ok(list) => list,
        Err(e) => {
            assert!(!e.to_string().is_empty());
            return;
        }
    };
    assert!((1..=TRACKERS_MAX).contains(&list.entries.len()));
    let mut plain: String = list.entries.iter().map(|entry| format!("{entry}\n")).collect();
    if let Some(pin) = list.pin {
        plain.push_str(&format!("pin={pin}\n"));
    }
    assert_eq!(TrackerList::parse(path, &plain).ok(), Some(list), "{plain}");
}
