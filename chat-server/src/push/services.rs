//! The push services of a node, opened from its settings.

use std::sync::Arc;

use shared::clock::Clock;

use super::fcm::FcmService;
use super::web::{WebPush, WebPushSettings};
use super::{PushService, PushSetupError};
use crate::config::PushFlags;

/// The push services that are configured.
#[derive(Clone, Debug, Default)]
pub struct PushServices {
    /// Firebase Cloud Messaging.
    pub fcm: Option<Arc<dyn PushService>>,
    /// Web Push.
    pub web: Option<Arc<dyn PushService>>,
    /// The public key for browsers' subscriptions; with [`PushServices::web`].
    pub vapid_key: Option<Arc<str>>,
}

impl PushServices {
    /// The services of these settings.
    ///
    /// # Errors
    /// See [`PushSetupError`].
    pub fn open(settings: &PushFlags, clock: &Arc<dyn Clock>) -> Result<Self, PushSetupError> {
        let mut services = Self::default();
        if let Some(account) = &settings.fcm_account {
            let fcm = FcmService::open(account, &settings.fcm_url, Arc::clone(clock))?;
            services.fcm = Some(Arc::new(fcm));
        }
        if let Some(vapid_key) = &settings.vapid_key {
            let settings = WebPushSettings {
                vapid_key,
                contact: &settings.push_contact,
                test_url: settings.push_test_url.as_ref(),
            };
            let web = WebPush::open(&settings, Arc::clone(clock))?;
            services.vapid_key = Some(web.public_key().into());
            services.web = Some(Arc::new(web));
        }
        Ok(services)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.fcm.is_none() && self.web.is_none()
    }
}
