//! Server-sent events (WHATWG HTML, 9.2), reduced to what a tracker needs: one `data:` line in hex for each
//! event, and comments that say the line is alive.

use data_encoding::HEXLOWER;

use crate::api::Event;

/// The media type of the stream.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// What a tracker sends when it has nothing to say.
pub const KEEP_ALIVE: &str = ":\n\n";
/// How often it does, in seconds.
pub const KEEP_ALIVE_INTERVAL_S: u64 = 10;

/// An event with every list at its limit needs less than a quarter of this, in hex.
const LINE_BYTES_MAX: usize = 4 * 1024;
const PREFIX: &str = "data: ";

/// The tracker is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventFault {
    /// No line feed within 4 KiB.
    #[error("an event line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// A `data:` line that holds no event.
    #[error("an event line holds no event: {0}")]
    Malformed(String),
}

/// The event as a tracker sends it.
pub fn encode(event: &Event) -> String {
    let mut cbor = Vec::new();
    let written = minicbor::encode(event, &mut cbor);
    debug_assert!(written.is_ok(), "a Vec takes every byte");
    format!("{PREFIX}{}\n\n", HEXLOWER.encode(&cbor))
}

/// Puts chunks of the stream together again.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Less than one line, plus what the last chunk brought.
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes a chunk. Drain [`Decoder::poll`] before the next one.
    pub fn push(&mut self, chunk: &[u8]) {
        self.pending.extend_from_slice(chunk);
    }

    /// The next event, if it is complete. Comments are skipped, and so are events that only newer programs know.
    ///
    /// # Errors
    /// [`EventFault`]: the stream cannot be read on.
    pub fn poll(&mut self) -> Result<Option<Event>, EventFault> {
        let mut used = 0;
        let mut found = None;
        while let (None, Some(end)) = (&found, self.pending[used..].iter().position(|b| *b == b'\n')) {
            found = parse_line(&self.pending[used..used + end])?;
            used += end + 1;
        }
        self.pending.drain(..used);
        match found.is_none() && self.pending.len() > LINE_BYTES_MAX {
            true => Err(EventFault::TooLong),
            false => Ok(found),
        }
    }
}

fn parse_line(line: &[u8]) -> Result<Option<Event>, EventFault> {
    let Some(hex) = line.strip_prefix(PREFIX.as_bytes()) else { return Ok(None) };
    let hex = hex.strip_suffix(b"\r").unwrap_or(hex);
    let cbor = HEXLOWER.decode(hex).map_err(|e| EventFault::Malformed(e.to_string()))?;
    match minicbor::decode(&cbor) {
        Ok(event) => Ok(Some(event)),
        Err(e) if e.is_unknown_variant() => Ok(None),
        Err(e) => Err(EventFault::Malformed(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use peerage_types::{GroupId, InfoHash};

    use super::*;

    fn events() -> [Event; 3] {
        let (group, info_hash) = (GroupId([1; 32]), InfoHash([2; 32]));
        [Event::Roster { group }, Event::Account, Event::Swarm { group, info_hash }]
    }

    #[test]
    fn any_chunking_gives_the_same_events() {
        let mut wire = String::from(KEEP_ALIVE);
        for event in &events() {
            wire.push_str(&encode(event));
            wire.push_str("event: unknown field\r\n");
        }
        for size in [1, 2, 7, 64, wire.len()] {
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for chunk in wire.as_bytes().chunks(size) {
                decoder.push(chunk);
                while let Some(event) = decoder.poll().unwrap() {
                    got.push(event);
                }
            }
            assert_eq!(got, events(), "chunks of {size}");
        }
    }

    #[test]
    fn the_line_is_stable() {
        expect![[r#"
            data: 820380

        "#]]
        .assert_eq(&encode(&Event::Account));
    }

    #[test]
    fn strange_streams() {
        let poll = |text: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(text);
            decoder.poll()
        };
        // Variant 99: from a newer tracker.
        assert_eq!(poll(b"data: 82186380\n"), Ok(None));
        assert_eq!(poll(&[b'x'; LINE_BYTES_MAX]), Ok(None));
        assert_eq!(poll(&[b'x'; LINE_BYTES_MAX + 1]), Err(EventFault::TooLong));
        expect!["an event line holds no event: invalid symbol at 0"]
            .assert_eq(&poll(b"data: zz\n").unwrap_err().to_string());
        expect!["an event line holds no event: unexpected type u8 at position 0: expected array"]
            .assert_eq(&poll(b"data: 00\n").unwrap_err().to_string());
    }
}
