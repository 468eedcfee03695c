//! Random scripts for a session: what client, application and clock do, most of it sensible.
//!
//! A script says what kind of frame comes; which id it names is chosen when it runs, from what the
//! model knows then. So most frames are valid and sessions live long, also after shrinking.

use proptest::prelude::*;
use stomp::Version;

use super::inbound::{ClientFrame, Inbound};
use super::model::{Model, Name, SUBSCRIPTIONS_MAX, TRANSACTIONS_MAX};

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// These frames arrive, cut where `cuts` says. `Polled`: outputs are polled after each cut.
    Input(Vec<Shape>, Vec<u16>, Polling),
    /// The application answers one of the requests it has.
    Answer(u8),
    /// A message goes out: a new one, or one that waits for its ACK.
    Deliver(u8, Delivery),
    Sent,
    /// Time passes; then the timer rings, due or not.
    Wait(u64),
    /// The timer rings exactly when it is due.
    Due,
    Refuse,
    Close,
    Finish,
    MessageTooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polling {
    Polled,
    Unpolled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    New,
    Again,
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    kind: Kind,
    receipt: Option<&'static str>,
    flaw: Flaw,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    None,
    /// A header is missing.
    Without(u8),
    /// A header is empty.
    Empty(u8),
    Body,
}

#[derive(Clone, Debug)]
enum Kind {
    Connect(Option<&'static str>, Option<&'static str>),
    Send(&'static str, InTransaction, &'static str),
    Subscribe(&'static str, &'static str, Naming),
    Unsubscribe(u8),
    Ack(&'static str, u8, InTransaction),
    Begin,
    Commit(u8),
    Abort(u8),
    Disconnect,
    /// The same in every state, and so mostly wrong.
    Fixed(&'static str),
    Broken(&'static str, &'static str),
    HeartBeat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    ById,
    /// Only 1.0 knows it.
    ByDestination,
}

#[derive(Clone, Copy, Debug)]
enum InTransaction {
    No,
    /// In one that is open.
    Open(u8),
}

const IDS: [&str; 4] = ["0", "@\\", "x:y", "1"];

/// Up to sixty steps; nine in ten begin with a login.
pub(super) fn scripts() -> impl Strategy<Value = Vec<Step>> {
    let opening = (versions(), heart_beats()).prop_map(|(versions, beats)| {
        let connect = shape(Kind::Connect(versions, beats));
        vec![
            Step::Input(vec![connect], vec![], Polling::Polled),
            Step::Answer(0),
        ]
    });
    let opening = prop_oneof![9 => opening, 1 => Just(vec![])];
    let steps = proptest::collection::vec(step(), 1..60);
    (opening, steps).prop_map(|(opening, steps)| [opening, steps].concat())
}

fn versions() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![
        2 => Just(None),
        4 => Just(Some("1.1")),
        4 => Just(Some("1.2,1.1,1.0")),
        1 => Just(Some("1.0,9.9")),
    ]
}

fn heart_beats() -> impl Strategy<Value = Option<&'static str>> {
    prop::sample::select(vec![None, Some("0,0"), Some("500,3000"), Some("5000,500")])
}

fn step() -> impl Strategy<Value = Step> {
    let cuts = proptest::collection::vec(any::<u16>(), 0..4);
    let frames = proptest::collection::vec(frame(), 1..4);
    let polling = prop_oneof![4 => Just(Polling::Polled), 1 => Just(Polling::Unpolled)];
    let delivery = prop_oneof![4 => Just(Delivery::New), 1 => Just(Delivery::Again)];
    prop_oneof![
        120 => (frames, cuts, polling).prop_map(|(frames, cuts, polling)| Step::Input(frames, cuts, polling)),
        40 => any::<u8>().prop_map(Step::Answer),
        80 => (any::<u8>(), delivery).prop_map(|(which, delivery)| Step::Deliver(which, delivery)),
        6 => Just(Step::Sent),
        5 => (0..2_000_u64).prop_map(Step::Wait),
        5 => Just(Step::Due),
        1 => prop::sample::select(vec![
            Step::Refuse, Step::Close, Step::Finish, Step::MessageTooLarge,
        ]),
    ]
}

fn frame() -> impl Strategy<Value = Shape> {
    let receipt = prop::sample::select(vec![None, None, Some("r"), Some("s:\\1")]);
    let flaw = prop_oneof![
        250 => Just(Flaw::None),
        1 => any::<u8>().prop_map(Flaw::Without),
        1 => any::<u8>().prop_map(Flaw::Empty),
        1 => Just(Flaw::Body),
    ];
    (kind(), receipt, flaw).prop_map(|(kind, receipt, flaw)| Shape {
        kind,
        receipt,
        flaw,
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let destination = || prop::sample::select(vec!["/a", "/b"]);
    let transaction = || {
        prop_oneof![
            Just(InTransaction::No),
            any::<u8>().prop_map(InTransaction::Open)
        ]
    };
    let body = prop::sample::select(vec!["", "hi", "about forty bytes, to reach the limit soon"]);
    let mode = prop::sample::select(vec!["auto", "client", "client", "client-individual"]);
    let naming = prop::sample::select(vec![Naming::ById, Naming::ById, Naming::ByDestination]);
    let ack = prop::sample::select(vec!["ACK", "ACK", "NACK"]);
    prop_oneof![
        60 => (destination(), transaction(), body).prop_map(|(d, t, b)| Kind::Send(d, t, b)),
        60 => (destination(), mode, naming).prop_map(|(d, m, n)| Kind::Subscribe(d, m, n)),
        15 => any::<u8>().prop_map(Kind::Unsubscribe),
        120 => (ack, any::<u8>(), transaction()).prop_map(|(c, w, t)| Kind::Ack(c, w, t)),
        30 => Just(Kind::Begin),
        30 => any::<u8>().prop_map(Kind::Commit),
        8 => any::<u8>().prop_map(Kind::Abort),
        10 => Just(Kind::HeartBeat),
        1 => Just(Kind::Disconnect),
        3 => prop::sample::select(vec![
            "COMMIT", "ABORT", "BEGIN", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "SEND", "CONNECT",
            "MESSAGE", "RECEIPT",
        ]).prop_map(Kind::Fixed),
        1 => prop::sample::select(vec![
            Kind::Connect(Some("9.9"), None),
            Kind::Connect(Some("1.2"), Some("1,x")),
            Kind::Broken("JUMP\n\n\0", "unknown command"),
            Kind::Broken("SEND\nreceipt\n\n\0", "malformed header line"),
            Kind::Broken("SEND\ncontent-length:x\n\nhi\0", "content-length is not a number"),
            Kind::Broken("SEND\ncontent-length:1\n\nhi\0", "content-length does not match the body"),
        ]),
    ]
}

fn shape(kind: Kind) -> Shape {
    Shape {
        kind,
        receipt: None,
        flaw: Flaw::None,
    }
}

/// What a shape stands for now; `None` if there is nothing that it could name.
pub(super) fn resolve(shape: &Shape, model: &Model) -> Option<Inbound> {
    let (command, mut headers, mut body) = match shape.kind {
        Kind::Broken(bytes, text) => return Some(Inbound::Broken(bytes, text)),
        Kind::Connect(versions, beats) => {
            let versions = versions.map(|versions| ("accept-version", versions.to_owned()));
            let beats = beats.map(|beats| ("heart-beat", beats.to_owned()));
            ("CONNECT", versions.into_iter().chain(beats).collect(), "")
        }
        Kind::Send(destination, transaction, body) => {
            let mut headers = vec![("destination", destination.to_owned())];
            headers.extend(transaction_header(transaction, model));
            ("SEND", headers, body)
        }
        Kind::Subscribe(destination, mode, naming) => (
            "SUBSCRIBE",
            subscribe(destination, mode, naming, model)?,
            "",
        ),
        Kind::Unsubscribe(which) => {
            let names: Vec<_> = model.subscriptions.keys().collect();
            ("UNSUBSCRIBE", vec![name_header(pick(&names, which)?)], "")
        }
        Kind::Ack(command, which, transaction) => {
            let mut headers = ack(which, model)?;
            headers.extend(transaction_header(transaction, model));
            let known = command == "ACK" || model.version != Some(Version::V1_0);
            (if known { command } else { "ACK" }, headers, "")
        }
        Kind::Begin if model.transactions.len() == TRANSACTIONS_MAX => return None,
        Kind::Begin => {
            let mut free = IDS
                .iter()
                .filter(|id| !model.transactions.contains_key(**id));
            (
                "BEGIN",
                vec![("transaction", (*free.next()?).to_owned())],
                "",
            )
        }
        Kind::Commit(which) => ("COMMIT", open_transaction(which, model)?, ""),
        Kind::Abort(which) => ("ABORT", open_transaction(which, model)?, ""),
        Kind::Disconnect => ("DISCONNECT", vec![], ""),
        Kind::Fixed(command) => (command, fixed(), ""),
        Kind::HeartBeat => return None,
    };
    headers.extend(shape.receipt.map(|receipt| ("receipt", receipt.to_owned())));
    match shape.flaw {
        Flaw::Without(which) if !headers.is_empty() => {
            headers.remove(usize::from(which) % headers.len());
        }
        Flaw::Empty(which) if !headers.is_empty() => {
            let which = usize::from(which) % headers.len();
            headers[which].1.clear();
        }
        Flaw::Body => body = "body",
        Flaw::None | Flaw::Without(_) | Flaw::Empty(_) => {}
    }
    Some(Inbound::Frame(ClientFrame {
        command,
        headers,
        body: body.to_owned(),
    }))
}

pub(super) fn pick<T: Clone>(list: &[T], which: u8) -> Option<T> {
    let at = usize::from(which).checked_rem(list.len())?;
    list.get(at).cloned()
}

fn open_transaction(which: u8, model: &Model) -> Option<Vec<(&'static str, String)>> {
    let open: Vec<_> = model.transactions.keys().cloned().collect();
    Some(vec![("transaction", pick(&open, which)?)])
}

fn transaction_header(wish: InTransaction, model: &Model) -> Vec<(&'static str, String)> {
    match wish {
        InTransaction::No => vec![],
        InTransaction::Open(which) => open_transaction(which, model).unwrap_or_default(),
    }
}

fn subscribe(
    destination: &str,
    mode: &str,
    naming: Naming,
    model: &Model,
) -> Option<Vec<(&'static str, String)>> {
    let is_free = |name: &Name| !model.subscriptions.contains_key(name);
    let old = model.version == Some(Version::V1_0);
    if model.subscriptions.len() == SUBSCRIPTIONS_MAX {
        return None;
    }
    let mut headers = vec![("destination", destination.to_owned())];
    if !(old && naming == Naming::ByDestination) {
        let mut free = IDS
            .iter()
            .filter(|id| is_free(&Name::Id((**id).to_owned())));
        headers.push(("id", (*free.next()?).to_owned()));
    } else if !is_free(&Name::Destination(destination.to_owned())) {
        return None;
    }
    let mode = if old && mode != "auto" {
        "client"
    } else {
        mode
    };
    headers.push(("ack", mode.to_owned()));
    Some(headers)
}

fn name_header(name: &Name) -> (&'static str, String) {
    match name {
        Name::Id(id) => ("id", id.clone()),
        Name::Destination(destination) => ("destination", destination.clone()),
    }
}

/// The headers by which the version names one of the messages that wait.
fn ack(which: u8, model: &Model) -> Option<Vec<(&'static str, String)>> {
    let subscriptions = model.subscriptions.iter();
    let waiting: Vec<_> = subscriptions
        .flat_map(|(name, known)| known.waiting.keys().map(move |message| (name, *message)))
        .collect();
    let (name, message) = pick(&waiting, which)?;
    let Name::Id(id) = name else {
        return Some(vec![("message-id", message.to_string())]);
    };
    Some(match model.version? {
        Version::V1_0 | Version::V1_1 => vec![
            ("message-id", message.to_string()),
            ("subscription", id.clone()),
        ],
        Version::V1_2 => vec![("id", format!("{message}@{id}"))],
    })
}

fn fixed() -> Vec<(&'static str, String)> {
    [
        ("destination", "/a"),
        ("id", "1@0"),
        ("message-id", "1"),
        ("subscription", "0"),
        ("transaction", "w"),
        ("ack", "client-individual"),
        ("content-type", "nonsense"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

/// The bytes of a frame as a client of the version writes them.
pub(super) fn encode(inbound: &Inbound, version: Option<Version>) -> Vec<u8> {
    let frame = match inbound {
        Inbound::Broken(bytes, _) => return bytes.as_bytes().to_vec(),
        Inbound::Frame(frame) => frame,
    };
    let raw = frame.command == "CONNECT" || version.is_none_or(|v| v == Version::V1_0);
    let escape = |value: &str| {
        if raw {
            value.to_owned()
        } else {
            value.replace('\\', "\\\\").replace(':', "\\c")
        }
    };
    let mut text = format!("{}\n", frame.command);
    for (name, value) in &frame.headers {
        text += &format!("{name}:{}\n", escape(value));
    }
    text += &format!("\n{}\0", frame.body);
    text.into_bytes()
}

/// Cuts bytes into chunks, none of them empty.
pub(super) fn cut(bytes: &[u8], cuts: &[u16]) -> Vec<Vec<u8>> {
    let mut places: Vec<_> = cuts
        .iter()
        .map(|at| usize::from(*at) % (bytes.len() + 1))
        .collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut start = 0;
    let chunks = places.into_iter().map(|end| {
        let chunk = bytes[start..end].to_vec();
        start = end;
        chunk
    });
    chunks.filter(|chunk| !chunk.is_empty()).collect()
}
