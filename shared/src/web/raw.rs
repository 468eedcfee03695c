//! Raw HTTP responses to malformed requests, written past the router: complete, in the envelope,
//! the last on their connection.

use http::StatusCode;

use super::error::ApiError;

/// The remaining bytes of a response.
#[derive(Debug, Default)]
pub(super) struct RawAnswer {
    bytes: Vec<u8>,
    written: usize,
}

impl RawAnswer {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    pub(super) fn advance(&mut self, written: usize) {
        self.written = self.written.saturating_add(written);
    }
}

/// The bytes of an error response.
pub(super) fn answer(error: &ApiError, name: &str, date: Option<&str>) -> Vec<u8> {
    let body = serde_json::to_string(&error.korean_body()).unwrap_or_default();
    let (status, reason) = (
        error.status().as_u16(),
        error.status().canonical_reason().unwrap_or_default(),
    );
    let date = date.map_or_else(String::new, |date| format!("date: {date}\r\n"));
    let retry = match error.status() {
        StatusCode::SERVICE_UNAVAILABLE => "retry-after: 1\r\n",
        _ => "",
    };
    let answer = format!(
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         x-request-id: {name}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         {retry}{date}connection: close\r\n\r\n{body}",
        body.len()
    );
    if error.status() != StatusCode::SERVICE_UNAVAILABLE {
        tracing::info!(request.id = name, status, "what came is no request");
    }
    answer.into_bytes()
}

/// A response in the envelope with the status of hyper's own response head.
pub(super) fn instead_of(head: &[u8], name: &str) -> RawAnswer {
    let text = str::from_utf8(head).unwrap_or_default();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    let lines = text.split("\r\n");
    let mut dates = lines.filter_map(|line| line.strip_prefix("date: "));
    RawAnswer {
        bytes: answer(&ApiError::of_status(status), name, dates.next()),
        written: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hyper_answers_comes_in_the_envelope() {
        let head = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
                     content-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
        let answer = instead_of(head, "id");
        let text = str::from_utf8(answer.rest()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
        assert!(head.contains("\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["code"], 1015);
    }
}
