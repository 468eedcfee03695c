//! The adapters of the payment gateway and the payout provider, as the settings name them.

use std::sync::Arc;

use shared::clock::Clock;

use crate::config::PaymentSettings;
use crate::gateway::Gateway;
use crate::gateway::toss::{NoTossClient, TossGateway, TossSettings, TossTimes};
use crate::metrics::Metrics;
use crate::payouts::Payouts;
use crate::payouts::http::{HttpPayouts, NoPayoutClient, PayoutSettings};

/// The payment gateway; `None` without a key.
///
/// # Errors
/// See [`NoTossClient`].
pub fn open_gateway(
    settings: &PaymentSettings,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<dyn Gateway>>, NoTossClient> {
    open_gateway_within(settings, TossTimes::default(), clock, metrics)
}

/// The same with other time-outs: a load test does not wait as long as a card company takes.
///
/// # Errors
/// See [`NoTossClient`].
pub fn open_gateway_within(
    settings: &PaymentSettings,
    times: TossTimes,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<dyn Gateway>>, NoTossClient> {
    let Some(secret) = settings.toss_secret_key.clone() else {
        tracing::warn!("no key of the payment gateway: charges answer 503");
        return Ok(None);
    };
    let toss = TossSettings {
        base: settings.toss_url.clone(),
        secret,
        times,
    };
    let gateway = TossGateway::new(toss, Arc::clone(clock), Arc::clone(metrics))?;
    Ok(Some(Arc::new(gateway)))
}

/// The payout provider; `None` without a URL and a key.
///
/// # Errors
/// See [`NoPayoutClient`].
pub fn open_payouts(
    settings: &PaymentSettings,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<dyn Payouts>>, NoPayoutClient> {
    let (Some(base), Some(key)) = (&settings.payout_url, &settings.payout_key) else {
        tracing::warn!("no payout provider: earned cash cannot be withdrawn");
        return Ok(None);
    };
    let settings = PayoutSettings {
        base: base.clone(),
        key: key.clone(),
        answer_max: PayoutSettings::ANSWER_MAX,
    };
    let payouts = HttpPayouts::new(settings, Arc::clone(metrics))?;
    Ok(Some(Arc::new(payouts)))
}
