//! A panic in a task or thread of a process whose logs are set up. In a binary of its own, because
//! the panic hook and the subscriber belong to the whole process.

#![expect(clippy::unwrap_used, reason = "a test ends where an unwrap fails")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use shared::drain::Drain;
use shared::telemetry::{self, LogFormat};
use tracing::Dispatch;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Captured {
    fn dispatch(&self) -> Dispatch {
        let writer = self.clone();
        telemetry::dispatch(LogFormat::Json, &"info".parse().unwrap(), move || {
            writer.clone()
        })
    }

    fn events(&self) -> Vec<Value> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// An error that quotes what it was given.
fn refuse(text: &str) -> Result<(), String> {
    Err(text.to_owned())
}

#[test]
fn panic_is_logged_with_its_place_and_its_task_and_without_its_values() {
    let _logs = telemetry::init(LogFormat::Json, &"error".parse().unwrap()).unwrap();
    let again = telemetry::init(LogFormat::Human, &"trace".parse().unwrap()).unwrap_err();
    assert_eq!(again.to_string(), "logging is already set up");

    let captured = Captured::default();
    tracing::dispatcher::with_default(&captured.dispatch(), || {
        // One thread, so that the task's events go to this test's subscriber.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let task = Drain::new().spawn("relay", async {
                refuse("hunter2").expect("token was checked at the door");
            });
            assert!(task.await.is_err());
        });
    });

    let events = captured.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!(events[0]["level"], "ERROR");
    assert_eq!(events[0]["message"], "panic: token was checked at the door");
    let location = events[0]["panic.location"].as_str().unwrap();
    assert!(
        location.starts_with("shared/tests/panic_log.rs:"),
        "{location}"
    );
    assert_eq!(events[1]["message"], "task relay panicked");
    assert_eq!(events[1]["task.name"], "relay");
    assert!(!format!("{events:?}").contains("hunter2"));
}
