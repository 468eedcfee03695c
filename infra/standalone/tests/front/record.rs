//! What the walk has driven, with one example of each request, refusal and frame, and the page that
//! is made of them: `infra/docs/contract.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use reqwest::Method;
use serde_json::Value;
use stomp::{Command, Frame};

use super::routes::{self, FIRST, FRAMES, OURS, Route, Section};
use super::stable::Stable;

/// Set to anything, it writes the page instead of comparing it.
const WRITE: &str = "WRITE_CONTRACT";

/// Longer JSON is spread over lines.
const LINE_MAX: usize = 110;

/// A request, and what was answered.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// With its query.
    pub(crate) path: &'a str,
    pub(crate) body: Option<&'a Value>,
    pub(crate) status: u16,
    /// Headers that belong to the contract.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: &'a str,
}

/// The recording of one walk.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Recording>);

#[derive(Debug)]
struct Recording {
    stable: Stable,
    driven: BTreeSet<Route>,
    examples: BTreeMap<Route, Example>,
    /// By code.
    refusals: BTreeMap<u64, String>,
    frames: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Example {
    text: String,
    /// A list without a row shows less than one with.
    is_empty: bool,
}

impl Recorder {
    pub(crate) fn of(api: &str) -> Self {
        Self(Mutex::new(Recording {
            stable: Stable::of(api),
            driven: BTreeSet::new(),
            examples: BTreeMap::new(),
            refusals: BTreeMap::new(),
            frames: BTreeMap::new(),
        }))
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.0.lock().unwrap()
    }

    /// Keeps the first example of a route, and the first refusal with a code.
    pub(crate) fn add(&self, exchange: &Exchange<'_>) {
        let (path, query) = exchange.path.split_once('?').unwrap_or((exchange.path, ""));
        let Some(route) = routes::find(exchange.method.as_str(), path) else {
            panic!("{} {path} is in no table of the contract", exchange.method);
        };
        let mut recording = self.recording();
        // One refusal has 200, and one 202.
        let body = serde_json::from_str::<Value>(exchange.text).unwrap_or_default();
        if let Some(code) = body["code"].as_u64().filter(|code| *code != 0) {
            recording.refuse(route, exchange, (code, &body));
            return;
        }
        recording.driven.insert(*route);
        let kept = recording.examples.get(route);
        if kept.is_none_or(|kept| kept.is_empty) {
            let example = recording.stable.example(route, query, exchange);
            recording.examples.insert(*route, example);
        }
    }

    /// Keeps the first frame of a kind.
    pub(crate) fn add_frame(&self, frame: &Frame) {
        let label = label(frame);
        let mut recording = self.recording();
        if !recording.frames.contains_key(&label) {
            let text = recording.stable.frame(frame);
            recording.frames.insert(label, text);
        }
    }

    /// Everything of the contract was driven.
    pub(crate) fn check_complete(&self) {
        let recording = self.recording();
        let frames = recording.frames.keys().cloned().collect();
        let missing = routes::missing(&recording.driven, &frames);
        assert!(missing.is_empty(), "not driven: {missing:#?}");
    }

    /// The committed page is that of this recording.
    pub(crate) fn check_page(&self) {
        let page = self.recording().page();
        let place = place();
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(place, page).unwrap();
            return;
        }
        let committed = std::fs::read_to_string(&place).unwrap_or_default();
        let differences = differences(&committed, &page);
        assert!(
            differences.is_empty(),
            "infra/docs/contract.md is not what was recorded (- committed, + recorded; {WRITE}=1 writes it):\n{}",
            differences.join("\n")
        );
    }
}

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contract.md")
}

/// Lines that differ, each with its number.
fn differences(committed: &str, recorded: &str) -> Vec<String> {
    let (mut old, mut new) = (committed.lines(), recorded.lines());
    let mut found = Vec::new();
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (a, b) if a == b => {}
            (a, b) => {
                found.extend(a.map(|line| format!("{number} - {line}")));
                found.extend(b.map(|line| format!("{number} + {line}")));
            }
        }
    }
    // The rest of a shifted page says nothing more.
    found.truncate(40);
    found
}

/// Command and destination, without ids.
fn label(frame: &Frame) -> String {
    let command = frame.command().as_str();
    if frame.command() == Command::Error {
        return format!("{command} {}", frame.header("message").unwrap_or_default());
    }
    let Some(destination) = frame.header("destination") else {
        return command.to_owned();
    };
    let (place, id) = destination.rsplit_once('/').unwrap_or_default();
    let is_id = id.bytes().all(|byte| byte.is_ascii_digit());
    match (place, is_id) {
        ("/sub/alarm", true) => {
            let body: Value = serde_json::from_slice(frame.body()).unwrap_or_default();
            let state = body["eventState"].as_str().map(|state| format!(" {state}"));
            format!(
                "{command} /sub/alarm/{{memberId}}{}",
                state.unwrap_or_default()
            )
        }
        (place, true) => format!("{command} {place}/{{roomId}}"),
        (_, false) => format!("{command} {destination}"),
    }
}

impl Stable {
    fn example(&mut self, route: &Route, query: &str, exchange: &Exchange<'_>) -> Example {
        let (method, path) = route;
        let mut text = format!("{method} {path}");
        if !query.is_empty() {
            text.push_str(&format!("?{}", self.query(query)));
        }
        if let Some(body) = exchange.body {
            let mut body = body.clone();
            self.body(path, &mut body);
            text.push_str(&format!("\n{}", json(&body, 0)));
        }
        text.push_str(&format!("\n\n{}", exchange.status));
        for (name, value) in &exchange.headers {
            text.push_str(&format!("\n{name}: {}", self.header(name, value)));
        }
        let mut is_empty = false;
        if let Ok(mut body) = serde_json::from_str::<Value>(exchange.text) {
            let is_list = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            is_empty = is_list(&body["data"]) || is_list(&body["data"]["data"]);
            self.body(path, &mut body);
            text.push_str(&format!("\n{}", json(&body, 0)));
        }
        Example { text, is_empty }
    }

    fn frame(&mut self, frame: &Frame) -> String {
        let mut body = match serde_json::from_slice::<Value>(frame.body()) {
            Ok(mut body) => {
                self.body("", &mut body);
                sorted(&body)
            }
            Err(_) => String::from_utf8_lossy(frame.body()).into_owned(),
        };
        let mut text = frame.command().as_str().to_owned();
        for (name, value) in frame.headers() {
            let value = match name {
                "content-length" => body.len().to_string(),
                _ => self.header(name, value),
            };
            text.push_str(&format!("\n{name}:{value}"));
        }
        if !body.is_empty() {
            body.insert_str(0, "\n\n");
        }
        text + &body
    }
}

impl Recording {
    fn refuse(&mut self, route: &Route, exchange: &Exchange<'_>, (code, body): (u64, &Value)) {
        let (method, path) = route;
        let (status, message) = (exchange.status, body["message"].as_str().unwrap());
        let line = format!("| {code} | {status} | {message} | `{method} {path}` |");
        self.refusals.entry(code).or_insert(line);
    }

    fn page(&self) -> String {
        let mut page = INTRODUCTION.to_owned();
        for section in &FIRST {
            self.section(&mut page, section);
        }
        page += "\n## STOMP\n\nAt `/conn`; each frame ends with a NUL. The rules are in [wire.md](wire.md#stomp).\n";
        let known = FRAMES
            .iter()
            .filter_map(|label| Some((*label, self.frames.get(*label)?)));
        let other = self
            .frames
            .iter()
            .filter(|(label, _)| !FRAMES.contains(&label.as_str()));
        let other = other.map(|(label, text)| (label.as_str(), text));
        for (label, text) in known.chain(other) {
            page.push_str(&format!("\n### {label}\n\n```\n{text}\n```\n"));
        }
        self.section(&mut page, &OURS);
        page += "\n## Refusals\n\nThe first of each code in the walk, with a request that gets it. All codes: \
                 [wire.md](wire.md#codes).\n\n| code | status | message | for example |\n|---|---|---|---|\n";
        for line in self.refusals.values() {
            page.push_str(&format!("{line}\n"));
        }
        page
    }

    fn section(&self, page: &mut String, section: &Section) {
        page.push_str(&format!("\n## {}\n", section.title));
        for route in section.routes {
            if let Some(example) = self.examples.get(route) {
                page.push_str(&format!(
                    "\n### {} {}\n\n```\n{}\n```\n",
                    route.0, route.1, example.text
                ));
            }
        }
    }
}

const INTRODUCTION: &str = "\
# The contract by example

One request and its answer for each operation, recorded by the contract test (`infra/standalone/tests/front`) on its
walk through `dapanda`, which is that of the first front end. The test fails when this page is not what it has
recorded; this writes it:

```sh
WRITE_CONTRACT=1 cargo test -p standalone --test program by_dapanda
```

Ids, times, tokens and addresses are replaced by constants, fields are sorted by name, and of each list the first row
is left. Requests carry the cookies of the login; those with a body have `content-type: application/json`. What the
fields mean: [domain.md](domain.md), section 3. How to use them: [front-end.md](front-end.md).
";

/// JSON with sorted fields, in one line where it is short.
fn json(value: &Value, indent: usize) -> String {
    let line = sorted(value);
    if line.chars().count() + indent <= LINE_MAX {
        return line;
    }
    let inner = " ".repeat(indent + 2);
    let (open, items, close): (_, Vec<String>, _) = match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields = fields.into_iter();
            let items = fields
                .map(|(name, value)| format!("{inner}\"{name}\": {}", json(value, indent + 2)));
            ('{', items.collect(), '}')
        }
        Value::Array(rows) => {
            let rows = rows
                .iter()
                .map(|row| format!("{inner}{}", json(row, indent + 2)));
            ('[', rows.collect(), ']')
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return line,
    };
    format!(
        "{open}\n{}\n{}{close}",
        items.join(",\n"),
        " ".repeat(indent)
    )
}

fn sorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let fields = fields.into_iter();
            let fields: Vec<_> = fields
                .map(|(name, value)| format!("\"{name}\": {}", sorted(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Array(rows) => {
            let rows: Vec<_> = rows.iter().map(sorted).collect();
            format!("[{}]", rows.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
