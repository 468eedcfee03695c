//! Settings of the payment gateway and the payout provider.

use clap::Args;
use reqwest::Url;
use shared::config::{Mistake, Mistakes, Secret};

use super::parse_base_url;
use crate::outgoing::is_exposed;

/// The gateway's own address.
const TOSS_URL: &str = "https://api.tosspayments.com";

/// Bounds of the secret in the webhook's path. 16 characters: with 62 letters and digits, 95 bits.
const WEBHOOK_SECRET_CHARS: std::ops::RangeInclusive<usize> = 16..=128;

/// The payment gateway and the payout provider.
#[derive(Clone, Debug, Args)]
pub struct PaymentSettings {
    /// URL of Toss Payments, or of a stand-in on this computer (http is accepted only there)
    #[arg(long, env = "MARKET_TOSS_URL", default_value = TOSS_URL, value_name = "URL",
        value_parser = parse_base_url)]
    pub toss_url: Url,

    /// Secret key of Toss Payments. Without it nothing can be charged, and charged cash cannot go back to cards:
    /// such requests answer 503
    #[arg(long, env = "MARKET_TOSS_SECRET_KEY", value_name = "SECRET")]
    pub toss_secret_key: Option<Secret<String>>,

    /// Secret in the path of the gateway's webhooks, POST /hooks/toss/SECRET: 16 to 128 letters, digits, - and _.
    /// Without it the path does not exist, and changes at the gateway are found by queries only
    #[arg(long, env = "MARKET_TOSS_WEBHOOK_SECRET", value_name = "SECRET")]
    pub toss_webhook_secret: Option<Secret<String>>,

    /// URL of the page on which members pay, for pages of this site that have no widget of the gateway's
    #[arg(long, env = "MARKET_PAY_PAGE_URL", value_name = "URL", value_parser = parse_base_url)]
    pub pay_page_url: Option<Url>,

    /// URL of the payout provider, or of a stand-in on this computer (http is accepted only there). Without it
    /// earned cash cannot be withdrawn
    #[arg(long, env = "MARKET_PAYOUT_URL", value_name = "URL", value_parser = parse_base_url)]
    pub payout_url: Option<Url>,

    /// Key of the payout provider
    #[arg(long, env = "MARKET_PAYOUT_KEY", value_name = "SECRET")]
    pub payout_key: Option<Secret<String>>,
}

impl Default for PaymentSettings {
    /// Neither charges nor payouts.
    fn default() -> Self {
        Self {
            toss_url: Url::parse(TOSS_URL).expect("the constant is a URL"),
            toss_secret_key: None,
            toss_webhook_secret: None,
            pay_page_url: None,
            payout_url: None,
            payout_key: None,
        }
    }
}

impl PaymentSettings {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let urls = [
            ("toss_url", Some(&self.toss_url)),
            ("payout_url", self.payout_url.as_ref()),
        ];
        for (setting, url) in urls {
            if url.is_some_and(is_exposed) {
                let what = "its key would cross the network without TLS".to_owned();
                let right = "https, or a host of this computer".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
        let keys = [
            ("toss_secret_key", &self.toss_secret_key),
            ("payout_key", &self.payout_key),
        ];
        for (setting, key) in keys {
            if key.as_ref().is_some_and(|key| !is_key(key.expose())) {
                let what = "is empty, or has other characters than keys have".to_owned();
                let right = "the key as the provider shows it".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
        if let Some(secret) = &self.toss_webhook_secret
            && !is_path_part(secret.expose())
        {
            let what = "is too short, too long, or no part of a path".to_owned();
            let right = "16 to 128 letters, digits, - and _".to_owned();
            mistakes.add("toss_webhook_secret", Mistake { what, right });
        }
        let missing = match (&self.payout_url, &self.payout_key) {
            (Some(_), None) => Some(("payout_key", "URL")),
            (None, Some(_)) => Some(("payout_url", "key")),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some((setting, there)) = missing {
            let what = format!("is missing, while the {there} is there");
            let right = "both, or neither".to_owned();
            mistakes.add(setting, Mistake { what, right });
        }
    }
}

fn is_key(text: &str) -> bool {
    // A colon would end the key in the header of HTTP Basic authentication.
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

fn is_path_part(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    WEBHOOK_SECRET_CHARS.contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use shared::config::{NoSettings, parse};

    use crate::config::Config;

    /// The settings are refused, with these names and without the secrets.
    fn check(args: &[&str], expected: &[&str]) {
        let Err(NoSettings::Wrong(mistakes)) =
            parse::<Config>(std::iter::once(&"market-api").chain(args))
        else {
            panic!("accepted: {args:?}")
        };
        let report = mistakes.to_string();
        for part in expected {
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[test]
    fn payment_settings_are_checked_together() {
        check(
            &[
                "--toss-url=http://api.example",
                "--toss-secret-key=hunter2 with a space",
                "--toss-webhook-secret=hunter2",
                "--payout-url=http://10.0.0.1",
            ],
            &[
                "--toss-url",
                "--toss-secret-key",
                "--toss-webhook-secret",
                "--payout-url",
                "--payout-key",
            ],
        );
        check(&["--payout-key=hunter2"], &["--payout-url"]);
        check(&["--toss-secret-key="], &["--toss-secret-key"]);
        check(&["--toss-secret-key=hunter2:x"], &["--toss-secret-key"]);
        check(
            &["--toss-webhook-secret=hunter2/hunter2/hunter2"],
            &["--toss-webhook-secret"],
        );
        check(&["--toss-url=https://u:hunter2@h"], &["--toss-url"]);
    }

    #[test]
    fn a_stand_in_on_this_computer_needs_no_tls() {
        let config: Config = parse([
            "market-api",
            "--toss-url=http://127.0.0.1:1/toss",
            "--toss-secret-key=test_sk_hunter2",
            "--toss-webhook-secret=hunter2-hunter2-hunter2",
            "--payout-url=http://localhost:1",
            "--payout-key=hunter2",
        ])
        .unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
