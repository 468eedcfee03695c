//! What a client sends, as the model sees it: whole frames.

/// What a client sends, unescaped.
#[derive(Clone, Debug)]
pub(super) struct ClientFrame {
    pub(super) command: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl ClientFrame {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn receipt(&self) -> Option<String> {
        self.header("receipt").map(str::to_owned)
    }

    pub(super) fn needed(&self, name: &str) -> Result<&str, Fault> {
        let value = self.header(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| broken(format!("{} needs the header {name}", self.command)))
    }

    pub(super) fn bytes(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        headers + self.body.len()
    }
}

#[derive(Clone, Debug)]
pub(super) enum Inbound {
    Frame(ClientFrame),
    /// Bytes that are no frame, and what is wrong with them.
    Broken(&'static str, &'static str),
}

/// What is wrong with a frame: the ERROR's text and code, and the code of the close.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) code: u16,
    pub(super) close: u16,
}

pub(super) fn broken(text: impl Into<String>) -> Fault {
    let (code, close) = (1006, 1002);
    let text = text.into();
    Fault { text, code, close }
}

pub(super) fn too_large(text: &str) -> Fault {
    let (code, close) = (1008, 1009);
    let text = text.into();
    Fault { text, code, close }
}
