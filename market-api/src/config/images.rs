//! Settings of the object store.

use std::path::PathBuf;

use clap::Args;
use reqwest::Url;
use shared::config::{Mistake, Mistakes, Secret};

use super::{NotAccepted, parse_base_url};
use crate::images::s3::S3Settings;

/// The object store.
#[derive(Clone, Debug, Args)]
pub struct ImageSettings {
    /// Where pictures go: file:FOLDER, or the URL of an S3 bucket, of which everybody may read images/
    /// and nobody uploads/
    #[arg(
        long,
        env = "MARKET_IMAGES",
        default_value = "file:./data/images",
        value_name = "URL",
        value_parser = parse_images
    )]
    pub images: ImagesUrl,

    /// Where browsers find the pictures, if not at the bucket's own URL; of a folder: where they
    /// find this server (as --public-url) for them
    #[arg(long, env = "MARKET_IMAGES_PUBLIC_URL", value_name = "URL", value_parser = parse_base_url)]
    pub images_public_url: Option<Url>,

    /// The bucket's region
    #[arg(
        long,
        env = "MARKET_IMAGES_REGION",
        default_value = "ap-northeast-2",
        value_name = "REGION"
    )]
    pub images_region: String,

    /// Who signs for the bucket
    #[arg(long, env = "MARKET_IMAGES_ACCESS_KEY", value_name = "KEY")]
    pub images_access_key: Option<String>,

    /// With what
    #[arg(long, env = "MARKET_IMAGES_SECRET_KEY", value_name = "SECRET")]
    pub images_secret_key: Option<Secret<String>>,
}

/// Where pictures go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagesUrl {
    /// A folder of this computer.
    Folder(PathBuf),
    /// A bucket that speaks S3.
    Bucket(Url),
}

impl ImageSettings {
    /// How to reach the bucket, if it is one and its settings are there.
    #[must_use]
    pub fn bucket(&self) -> Option<S3Settings> {
        let ImagesUrl::Bucket(bucket_url) = &self.images else {
            return None;
        };
        Some(S3Settings {
            bucket_url: bucket_url.clone(),
            public_url: self.images_public_url.clone().unwrap_or(bucket_url.clone()),
            region: self.images_region.clone(),
            access_key: self.images_access_key.clone()?,
            secret_key: self.images_secret_key.clone()?,
        })
    }

    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        if !matches!(self.images, ImagesUrl::Bucket(_)) {
            return;
        }
        for (setting, is_there) in [
            ("images_access_key", self.images_access_key.is_some()),
            ("images_secret_key", self.images_secret_key.is_some()),
        ] {
            if !is_there {
                let what = "is missing, and pictures go to a bucket".to_owned();
                let right = "the bucket's key".to_owned();
                mistakes.add(setting, Mistake { what, right });
            }
        }
    }
}

fn parse_images(text: &str) -> Result<ImagesUrl, NotAccepted> {
    if let Some(folder) = text.strip_prefix("file:") {
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        let is_there = !folder.is_empty();
        return is_there
            .then(|| ImagesUrl::Folder(folder.into()))
            .ok_or(NotAccepted("no folder"));
    }
    parse_base_url(text).map(ImagesUrl::Bucket)
}
