//! What hostile clients send: good sessions, damaged on one of three levels, and things that never
//! were a session.

use std::net::SocketAddr;

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::mutate::{mutate, noise};
use crate::support::raw::{BINARY, CLOSE, PING, PONG, TEXT, masked, upgrade_request};

/// Who the clients are, and where they connect.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) tokens: Vec<String>,
}

/// What one client sends.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// An upgrade and a login, as they should be; the rest is sent once they are answered.
    pub(crate) greeting: Vec<u8>,
    /// What may be anything.
    pub(crate) rest: Vec<u8>,
    /// Whether it then waits for the server to end the connection; else it ends its own side.
    pub(crate) waits: bool,
}

/// The bytes of one client, from the first on the TCP connection to the last.
pub(crate) fn stream(rng: &mut StdRng, site: &Site) -> Stream {
    let upgrade = upgrade_request(site.address, "").into_bytes();
    let token = &site.tokens[rng.random_range(0..site.tokens.len())];
    let (login, later) = (login(rng, token), session(rng, token));
    let (other, waits) = (session(rng, token), rng.random_range(0..16) == 0);
    match rng.random_range(0..20) {
        // Never an upgrade. Nobody waits then: the server gives a request all the time it takes.
        0 => alone(noise(rng, 4_096), false),
        1 => alone(mutate(rng, upgrade.clone(), &upgrade), false),
        2 => {
            let session = [upgrade, framed(rng, &[login, later].concat())].concat();
            alone(mutate(rng, session.clone(), &session), false)
        }
        // An upgrade, and then no session.
        3 => alone([upgrade, noise(rng, 4_096)].concat(), waits),
        4 => {
            let session = [login, later].concat();
            alone([upgrade, bad_websocket(rng, &session)].concat(), waits)
        }
        5..=7 => {
            let session = mutate(rng, [login, later].concat(), &other);
            alone([upgrade, framed(rng, &session)].concat(), waits)
        }
        // A session, that goes wrong somewhere: in its WebSocket, in its STOMP.
        kind => {
            let rest = match kind {
                8 => noise(rng, 4_096),
                9..=10 => bad_websocket(rng, &later),
                11..=14 => {
                    let (frames, other) = (framed(rng, &later), framed(rng, &other));
                    mutate(rng, frames, &other)
                }
                _ => {
                    let damaged = mutate(rng, later, &other);
                    framed(rng, &damaged)
                }
            };
            let greeting = [upgrade, framed(rng, &login)].concat();
            Stream {
                greeting,
                rest,
                waits,
            }
        }
    }
}

fn alone(rest: Vec<u8>, waits: bool) -> Stream {
    Stream {
        rest,
        waits,
        ..Stream::default()
    }
}

fn login(rng: &mut StdRng, token: &str) -> Vec<u8> {
    let version = ["1.0", "1.1", "1.2", "1.2,1.1,1.0"][rng.random_range(0..4)];
    let connect = format!("CONNECT\naccept-version:{version}\nAuthorization:Bearer {token}\n\n\0");
    connect.into_bytes()
}

/// What a client may say after its login.
fn session(rng: &mut StdRng, token: &str) -> Vec<u8> {
    let frames = (0..rng.random_range(1..20)).map(|_| frame(rng, token));
    frames.collect::<String>().into_bytes()
}

fn frame(rng: &mut StdRng, token: &str) -> String {
    let (room, number) = (rng.random_range(1..=4), rng.random_range(0..4));
    let message = format!(r#"{{"message":"안녕 {number}"}}"#);
    match rng.random_range(0..16) {
        0 => format!("SUBSCRIBE\nid:{number}\ndestination:/sub/{room}\nreceipt:r\nhistory:3\n\n\0"),
        1 => {
            format!("SUBSCRIBE\nid:{number}\ndestination:/sub/{room}\nack:client\nhistory:3\n\n\0")
        }
        2 => format!("SUBSCRIBE\nid:{number}\ndestination:/sub/{room}/events\n\n\0"),
        3 => "SUBSCRIBE\nid:e\ndestination:/user/queue/errors\n\n\0".to_owned(),
        4 => "SUBSCRIBE\nid:n\ndestination:/user/queue/notifications\n\n\0".to_owned(),
        5 => format!("UNSUBSCRIBE\nid:{number}\nreceipt:u\n\n\0"),
        6 => format!("SEND\ndestination:/pub/{room}/typing\n\n{{}}\0"),
        7 => format!(
            "SEND\ndestination:/pub/{room}\nclient-message-id:{number}\nreceipt:c\n\n{message}\0"
        ),
        8 => format!("SEND\ndestination:/app/token\n\n{token}\0"),
        9 => format!(
            "BEGIN\ntransaction:{number}\n\n\0SEND\ndestination:/pub/{room}\n\
             transaction:{number}\n\n{message}\0COMMIT\ntransaction:{number}\nreceipt:t\n\n\0"
        ),
        10 => "\n\n\n".to_owned(),
        11 if number == 0 => format!("ACK\nid:{}@0\n\n\0", (room << 22) + 1),
        12 if number == 0 => "DISCONNECT\nreceipt:d\n\n\0".to_owned(),
        _ => {
            let length = message.len();
            format!("SEND\ndestination:/pub/{room}\ncontent-length:{length}\nx:y\n\n{message}\0")
        }
    }
}

/// The bytes in WebSocket messages, cut anywhere, some of them in fragments.
fn framed(rng: &mut StdRng, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = rng.random_range(1..=rest.len().min(400));
        let (part, after) = rest.split_at(length);
        rest = after;
        if rng.random_range(0..8) == 0 {
            let (one, two) = part.split_at(part.len() / 2);
            out.extend(masked(0x02, one));
            out.extend(masked(PING, b"?"));
            out.extend(masked(0x80, two));
        } else {
            out.extend(masked(BINARY, part));
        }
    }
    out
}

/// Frames that RFC 6455 forbids, in front of, within or behind a good session.
fn bad_websocket(rng: &mut StdRng, session: &[u8]) -> Vec<u8> {
    let mut frames = framed(rng, session);
    if rng.random() {
        frames.truncate(rng.random_range(0..=frames.len()));
    }
    let noise = noise(rng, 200);
    let bad = match rng.random_range(0..9) {
        // Not masked.
        0 => [&[TEXT, 5][..], b"hello"].concat(),
        // Reserved bits, reserved opcodes.
        1 => masked(TEXT | rng.random_range(1..8) << 4, &noise),
        2 => masked([0x83, 0x87, 0x8b, 0x8f][rng.random_range(0..4)], &noise),
        // Lengths far beyond the bytes that follow.
        3 => length_of(TEXT, rng.random()),
        4 => length_of(BINARY, rng.random_range(0..1 << 32)),
        5 => length_of(0x00, u64::MAX),
        // Control frames that are long, or cut.
        6 => masked([CLOSE, PING, PONG][rng.random_range(0..3)], &[b'x'; 300]),
        7 => masked([0x08, 0x09, 0x0a][rng.random_range(0..3)], b"x"),
        // A close with any code, or with half of one.
        _ => masked(CLOSE, &noise[..noise.len().min(rng.random_range(0..4))]),
    };
    frames.extend(bad);
    frames.extend(framed(rng, session));
    frames
}

/// The head of a frame of this length, in its longest form.
fn length_of(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}
