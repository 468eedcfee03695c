//! The codec's share of a chat message: what one core reads and writes per second.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stomp::{Command, Decoder, FrameWriter, Limits, MessageTail, Version, message_head};

const BODY_BYTES: usize = 128;
const FRAMES: usize = 64;

/// `{"message":"…"}` of [`BODY_BYTES`], as the front end sends it.
fn body() -> String {
    const FRAME: &str = r#"{"message":""}"#;
    let text = "x".repeat(BODY_BYTES - FRAME.len());
    format!(r#"{{"message":"{text}"}}"#)
}

/// A SEND with the headers of stompjs, in its order.
fn send() -> Vec<u8> {
    let body = body();
    let head = format!(
        "SEND\ndestination:/pub/42\ncontent-length:{}\n\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes(), b"\0"].concat()
}

fn decoder() -> Decoder {
    let mut decoder = Decoder::new(Limits::after_login());
    decoder.set_version(Version::V1_2);
    decoder
}

/// Reads everything in `parts`, fed one after another; gives the number of frames.
fn decode(decoder: &mut Decoder, parts: impl IntoIterator<Item = Bytes>) -> usize {
    let mut frames = 0;
    for part in parts {
        decoder.feed(part);
        while let Some(frame) = decoder.next_frame().expect("the input is valid") {
            black_box(frame.header("destination"));
            black_box(&frame);
            frames += 1;
        }
    }
    frames
}

fn bench_decode(criterion: &mut Criterion) {
    let one = send();
    let mut group = criterion.benchmark_group("decode");
    // Each part is an allocation of its own, as received ones are; only its making is not measured.
    let mut bench = |name: &str, frames: usize, parts: Vec<Bytes>| {
        group.throughput(Throughput::Elements(frames as u64));
        group.bench_function(name, |bencher| {
            let mut decoder = decoder();
            bencher.iter(|| assert_eq!(decode(&mut decoder, parts.iter().cloned()), frames));
        });
    };
    let (front, back) = one.split_at(one.len() / 2);
    bench("send", 1, vec![Bytes::copy_from_slice(&one)]);
    bench(
        "send_in_two",
        1,
        vec![Bytes::copy_from_slice(front), Bytes::copy_from_slice(back)],
    );
    bench(
        "send_64_in_one",
        FRAMES,
        vec![Bytes::from(one.repeat(FRAMES))],
    );
    group.finish();
}

fn tail(body: &str) -> MessageTail {
    let headers = [
        ("destination", "/sub/42"),
        ("message-id", "7212345678901234567"),
        ("content-type", "application/json"),
    ];
    MessageTail::encode(Version::V1_2, black_box(headers), body.as_bytes())
}

fn bench_encode(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("message", |bencher| {
        bencher.iter(|| {
            let head = message_head(Version::V1_2, black_box(Some("sub-0")), None);
            (head, tail(&body))
        });
    });
    group.bench_function("message_head", |bencher| {
        bencher.iter(|| message_head(Version::V1_2, black_box(Some("sub-0")), None));
    });
    group.bench_function("receipt", |bencher| {
        bencher.iter(|| {
            FrameWriter::new(Command::Receipt, Version::V1_2)
                .header("receipt-id", black_box("close-7"))
                .end()
        });
    });
    group.finish();
}

criterion_group!(benches, bench_decode, bench_encode);
criterion_main!(benches);
