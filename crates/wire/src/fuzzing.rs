//! What must hold for any input. Driven by `fuzz/fuzz_targets/wire.rs` and by the corpus replay test.

use bytes::{BufMut, BytesMut};
use peerage_types::limits::WIRE_MESSAGE_BYTES_MAX;

use crate::{
    Bitfield, ExtendedHandshake, HANDSHAKE_BYTES, Handshake, Message, WireError, decode, encode, needed,
};

/// Takes `data` as a stream of messages, a handshake, an extended handshake and a bitfield, and asserts what
/// each promises.
pub fn run(data: &[u8]) {
    let whole = all_at_once(data);
    assert_eq!(whole, in_steps(data), "reading in the steps that `needed` asks for changes nothing");
    stream_round_trip(data, &whole.0);
    if let Some(Ok(shake)) = data.first_chunk::<HANDSHAKE_BYTES>().map(Handshake::decode) {
        assert_eq!(shake.encode(), data[..HANDSHAKE_BYTES]);
    }
    if let Ok(shake) = ExtendedHandshake::decode(data) {
        assert_eq!(ExtendedHandshake::decode(&shake.encode()), Ok(shake));
    }
    bitfield(data);
}

type Stream = (Vec<Message>, Option<WireError>);

fn all_at_once(data: &[u8]) -> Stream {
    let (mut input, mut messages) = (BytesMut::from(data), Vec::new());
    let error = drain(&mut input, &mut messages).err();
    (messages, error)
}

/// Gives the decoder no byte more than it asks for.
fn in_steps(mut data: &[u8]) -> Stream {
    let (mut input, mut messages) = (BytesMut::new(), Vec::new());
    loop {
        if let Err(error) = drain(&mut input, &mut messages) {
            return (messages, Some(error));
        }
        let wanted = needed(&input);
        assert!((1..=WIRE_MESSAGE_BYTES_MAX).contains(&wanted), "{wanted} bytes needed");
        let mut step = wanted.min(data.len());
        // The id is known one byte after the prefix, and a refusal must not wait for the rest.
        if input.len() == 4 {
            step = step.min(1);
        }
        if step == 0 {
            return (messages, None);
        }
        input.put_slice(&data[..step]);
        data = &data[step..];
    }
}

fn drain(input: &mut BytesMut, messages: &mut Vec<Message>) -> Result<(), WireError> {
    while let Some(message) = decode(input)? {
        messages.push(message);
    }
    Ok(())
}

/// Every byte of a message is in its value, except the payload of an unknown one.
fn stream_round_trip(data: &[u8], messages: &[Message]) {
    let mut at = 0;
    for message in messages {
        let len = needed(&data[at..at + 4]) + 4;
        let mut out = BytesMut::new();
        encode(message, &mut out);
        match message {
            Message::Unknown { .. } => assert_eq!(out[4], data[at + 4]),
            _ => assert_eq!(out, data[at..at + len]),
        }
        at += len;
    }
}

fn bitfield(data: &[u8]) {
    let len = (data.len() as u32 * 8).saturating_sub(3);
    if let Ok(bits) = Bitfield::from_wire(data, len) {
        assert_eq!(bits.to_wire(), data);
        assert_eq!(bits.count() as usize, bits.iter_set().count());
        assert!(bits.iter_set().all(|piece| bits.get(piece) && piece < len));
    }
}
