//! What decoding gave, as lines of text that a test can write down and compare.
//!
//! `SEND destination="/a" | "body"` is a frame, `! NotUtf8 receipt="7"` the failure that ended it,
//! `... 12 bytes` what still waits for its end.

use bytes::Bytes;
use stomp::{Decoder, Frame, Limits, Version};

/// A decoder as it is before CONNECT (`None`) or in the middle of a session.
pub(crate) fn decoder(version: Option<Version>, limits: Limits) -> Decoder {
    let mut decoder = Decoder::new(limits);
    if let Some(version) = version {
        decoder.set_version(version);
    }
    decoder
}

/// Feeds `parts` one after another and takes out all there is after each.
pub(crate) fn read<'a>(
    decoder: &mut Decoder,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for part in parts {
        decoder.feed(Bytes::copy_from_slice(part));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => lines.push(frame_line(&frame)),
                Ok(None) => break,
                Err(failure) => {
                    let receipt = failure.receipt.as_ref();
                    let receipt = receipt.map(|receipt| format!(" receipt={:?}", receipt.as_str()));
                    lines.push(format!(
                        "! {:?}{}",
                        failure.error,
                        receipt.unwrap_or_default()
                    ));
                    return lines;
                }
            }
        }
    }
    match decoder.buffered_bytes() {
        0 => {}
        waiting => lines.push(format!("... {waiting} bytes")),
    }
    lines
}

/// The ways of splitting that every test tries: whole, byte by byte, in two at every point.
pub(crate) fn splits(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let in_two = (1..input.len()).map(|at| {
        let (front, back) = input.split_at(at);
        vec![front, back]
    });
    [vec![input], input.chunks(1).collect()]
        .into_iter()
        .chain(in_two)
}

fn frame_line(frame: &Frame) -> String {
    let mut line = frame.command().to_string();
    for (name, value) in frame.headers() {
        line.push_str(&format!(" {}={value:?}", name.escape_debug()));
    }
    if !frame.body().is_empty() {
        let body = match std::str::from_utf8(frame.body()) {
            Ok(text) => format!(" | {text:?}"),
            Err(_) => format!(" | b\"{}\"", frame.body().escape_ascii()),
        };
        line.push_str(&body);
    }
    line
}
