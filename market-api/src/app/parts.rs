//! Parts of a market, opened as the settings say.

use std::sync::Arc;

use shared::clock::Clock;
use shared::drain::Drain;

use super::BuildError;
use super::payments::{open_gateway, open_payouts};
use crate::auth::{Auth, KeyRing, KeysError};
use crate::cache::{Cache, CacheError, CacheUrl, ListCache, LocalCache, RedisCache};
use crate::config::{Config, ImagesUrl};
use crate::db::Db;
use crate::images::local::LocalImages;
use crate::images::s3::S3Images;
use crate::images::{ObjectStore, StoreError};
use crate::members::Members;
use crate::metrics::Metrics;
use crate::payments::{Payments, PaymentsParts};
use crate::reports::{ChatMessages, ReportParts, Reports};

pub(super) fn open_keys(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<KeyRing>, KeysError> {
    let (folder, scope) = (&config.login.signing_keys, config.token_scope());
    KeyRing::open(folder, scope, Arc::clone(clock)).map(Arc::new)
}

pub(super) fn open_auth(
    config: &Config,
    db: &Db,
    keys: &Arc<KeyRing>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Auth {
    let auth = Auth::new(
        db.clone(),
        Arc::clone(keys),
        Arc::clone(clock),
        Arc::clone(metrics),
        config.cookies(),
    );
    auth.with_developer_family(config.login.developer_family.clone())
}

pub(super) fn open_cache(config: &Config) -> Result<Arc<dyn Cache>, CacheError> {
    Ok(match &config.cache {
        CacheUrl::Local => Arc::new(LocalCache::new()),
        CacheUrl::Redis(url) => Arc::new(RedisCache::connect(url, RedisCache::ANSWER_MAX)?),
    })
}

/// Where pictures are, and the routes of those in a folder.
type Store = (Arc<dyn ObjectStore>, Option<Arc<LocalImages>>);

pub(super) fn open_images(config: &Config, clock: &Arc<dyn Clock>) -> Result<Store, StoreError> {
    match (&config.images.images, config.images.bucket()) {
        (ImagesUrl::Folder(folder), _) => {
            let url = config.images.images_public_url.as_ref();
            let url = url.unwrap_or(&config.public_url).as_str();
            let local = Arc::new(LocalImages::new(folder.clone(), url, Arc::clone(clock)));
            Ok((Arc::clone(&local) as Arc<dyn ObjectStore>, Some(local)))
        }
        (ImagesUrl::Bucket(_), Some(bucket)) => Ok((Arc::new(S3Images::new(bucket)?), None)),
        (ImagesUrl::Bucket(_), None) => Err(StoreError("its keys are missing".to_owned())),
    }
}

pub(super) fn open_reports(
    config: &Config,
    db: &Db,
    members: &Members,
    cache: &ListCache,
    messages: Arc<dyn ChatMessages>,
    metrics: &Arc<Metrics>,
) -> Reports {
    Reports::new(ReportParts {
        db: db.clone(),
        members: members.clone(),
        cache: cache.clone(),
        messages,
        answer_max: config.chat.chat_answer_time,
        metrics: Arc::clone(metrics),
    })
}

pub(super) fn open_payments(
    config: &Config,
    db: &Db,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
    drain: &Drain,
) -> Result<Payments, BuildError> {
    Ok(Payments::new(PaymentsParts {
        db: db.clone(),
        gateway: open_gateway(&config.payments, clock, metrics)?,
        payouts: open_payouts(&config.payments, metrics)?,
        metrics: Arc::clone(metrics),
        drain: drain.clone(),
    }))
}
