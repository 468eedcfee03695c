//! Settings of push notifications.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use reqwest::Url;
use shared::config::{Mistakes, Secret, parse_duration};

use super::must;

/// Where FCM is.
const FCM_URL: &str = "https://fcm.googleapis.com";

/// A Firebase service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountSource {
    /// A JSON file.
    File(PathBuf),
    /// The file's content: of a stand-in in this process.
    Text(Secret<String>),
}

impl FromStr for AccountSource {
    type Err = Infallible;

    fn from_str(path: &str) -> Result<Self, Infallible> {
        Ok(Self::File(path.into()))
    }
}

/// Push services. Without them members get notifications only while they are connected.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct PushFlags {
    /// JSON file of a Firebase service account: with it, apps get push notifications
    #[arg(long, env = "CHAT_FCM_ACCOUNT", value_name = "FILE")]
    pub fcm_account: Option<AccountSource>,

    /// Base URL of Firebase Cloud Messaging
    #[arg(long, env = "CHAT_FCM_URL", default_value = FCM_URL, value_name = "URL", value_parser = parse_base)]
    pub fcm_url: Url,

    /// VAPID key, a P-256 key as PKCS#8 in PEM: with it, browsers get push notifications. The same on
    /// all nodes; another key makes all browsers' subscriptions useless
    #[arg(long, env = "CHAT_VAPID_KEY", value_name = "FILE")]
    pub vapid_key: Option<PathBuf>,

    /// Contact for the browsers' push services: mailto:ADDRESS or an https URL
    #[arg(
        long,
        env = "CHAT_PUSH_CONTACT",
        default_value = "",
        value_name = "CONTACT"
    )]
    pub push_contact: String,

    /// Time after the push of a chat message without another one of the same room to the same member
    #[arg(long, env = "CHAT_PUSH_QUIET_TIME", default_value = "30s", value_parser = parse_duration,
        value_name = "TIME")]
    pub push_quiet_time: Duration,

    /// Also accepts browsers' subscriptions below this URL, whatever its scheme and address: a stand-in
    /// of a push service, for tests
    #[arg(long, env = "CHAT_PUSH_TEST_URL", value_name = "URL", value_parser = parse_base)]
    pub push_test_url: Option<Url>,
}

impl Default for PushFlags {
    fn default() -> Self {
        Self {
            fcm_account: None,
            fcm_url: Url::parse(FCM_URL).expect("the constant is a URL"),
            vapid_key: None,
            push_contact: String::new(),
            push_quiet_time: Duration::from_secs(30),
            push_test_url: None,
        }
    }
}

impl PushFlags {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let contact = &self.push_contact;
        let is_contact = contact.starts_with("mailto:") || contact.starts_with("https://");
        must(
            mistakes,
            is_contact || (contact.is_empty() && self.vapid_key.is_none()),
            "push_contact",
            contact.clone(),
            "with --vapid-key, mailto:ADDRESS or an https URL",
        );
        let day = Duration::from_secs(24 * 3_600);
        must(
            mistakes,
            self.push_quiet_time <= day,
            "push_quiet_time",
            format!("{:?}", self.push_quiet_time),
            "at most 24h",
        );
    }
}

/// The text is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the like of https://fcm.googleapis.com: http or https, a host, no query")]
struct NoBaseUrl;

fn parse_base(text: &str) -> Result<Url, NoBaseUrl> {
    let url = Url::parse(text).map_err(|_invalid| NoBaseUrl)?;
    let good = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    good.then_some(url).ok_or(NoBaseUrl)
}

#[cfg(test)]
mod tests {
    use shared::config::{NoSettings, parse};

    use super::super::Config;
    use super::*;

    #[test]
    fn defaults_are_those_of_the_command_line() {
        let config: Config = parse(["chat-server"]).unwrap();
        assert_eq!(config.push, PushFlags::default());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for args in [
            ["--vapid-key", "vapid.pem"],
            ["--push-contact", "me"],
            ["--fcm-url", "ftp://h"],
            ["--push-test-url", "http://h/?x"],
            ["--push-quiet-time", "25h"],
        ] {
            let args = ["chat-server", args[0], args[1]];
            let refused = parse::<Config>(args);
            assert!(matches!(refused, Err(NoSettings::Wrong(_))), "{args:?}");
        }
    }
}
