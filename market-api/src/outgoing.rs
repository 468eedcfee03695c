//! Requests to other servers: clients that follow no redirects, and responses of bounded size.
//!
//! Common to the clients of the login providers, the chat server, the payment gateway and the payout provider.
//!
//! What this module does not do: set deadlines, interpret responses, or retry. The callers do.

use std::net::IpAddr;
use std::time::Duration;

use http::StatusCode;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder, Url};

/// How long an idle connection is kept: less than the 60 s after which load balancers close it.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// Idle connections kept per server.
const IDLE_MAX: usize = 16;

/// A response, of whatever program is at the address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
}

/// There is no response, or only a part: the reason, without the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// True for a URL without TLS of a host other than this computer: credentials would be readable on the way.
#[must_use]
pub fn is_exposed(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let ip = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let is_here = host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    url.scheme() != "https" && !is_here
}

/// A client of the servers at these URLs. If none of them has TLS, they are stand-ins on this computer or in our own
/// network: no certificates are loaded, and no proxy is used.
pub(crate) fn client<'a>(mut urls: impl Iterator<Item = &'a Url>) -> ClientBuilder {
    let builder = Client::builder()
        .redirect(Policy::none())
        .pool_max_idle_per_host(IDLE_MAX)
        .pool_idle_timeout(IDLE_TIME)
        .user_agent(concat!("DaPanDa-market-api/", env!("CARGO_PKG_VERSION")));
    match urls.all(|url| url.scheme() == "http") {
        true => builder.tls_certs_only([]).no_proxy(),
        false => builder,
    }
}

/// Sends a request and reads the response. Any response is a success here, whatever its status.
///
/// # Errors
/// The server is unreachable, or its response broke off or is longer than `bytes_max`.
pub(crate) async fn send(request: RequestBuilder, bytes_max: usize) -> Result<Answer, NoAnswer> {
    let mut response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(NoAnswer("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body })
}

/// The innermost cause says what happened, for example that the connection was refused.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    // URLs hold names of orders and payments, and the log needs only the reason.
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let (shown, cause) = (error.to_string(), cause.to_string());
    NoAnswer(match shown == cause {
        true => shown,
        false => format!("{shown}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_computer_is_called_without_tls() {
        let exposed = |text: &str| is_exposed(&text.parse().unwrap());
        for url in [
            "https://api.example",
            "http://localhost:1/x",
            "http://127.0.0.1",
            "http://127.9.9.9:80",
            "http://[::1]:1",
        ] {
            assert!(!exposed(url), "{url}");
        }
        for url in [
            "http://api.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://[2001:db8::1]",
            "http://127.0.0.1.example",
        ] {
            assert!(exposed(url), "{url}");
        }
    }
}
