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
    /// Store of pictures: file:FOLDER, or the URL of an S3 bucket with public read access to images/ and none
    /// to uploads/
    #[arg(
        long,
        env = "MARKET_IMAGES",
        default_value = "file:./data/images",
        value_name = "URL",
        value_parser = parse_images
    )]
    pub images: ImagesUrl,

    /// Public URL of the pictures, if not the bucket's own URL; for a folder: the URL of this server (as
    /// --public-url) that picture URLs begin with
    #[arg(long, env = "MARKET_IMAGES_PUBLIC_URL", value_name = "URL", value_parser = parse_base_url)]
    pub images_public_url: Option<Url>,

    /// Region of the bucket
    #[arg(
        long,
        env = "MARKET_IMAGES_REGION",
        default_value = "ap-northeast-2",
        value_name = "REGION"
    )]
    pub images_region: String,

    /// Access key of the bucket
    #[arg(long, env = "MARKET_IMAGES_ACCESS_KEY", value_name = "KEY")]
    pub images_access_key: Option<String>,

    /// Secret key of the bucket
    #[arg(long, env = "MARKET_IMAGES_SECRET_KEY", value_name = "SECRET")]
    pub images_secret_key: Option<Secret<String>>,
}

/// The store of pictures named by the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagesUrl {
    /// A folder on this computer.
    Folder(PathBuf),
    /// A bucket with the S3 API.
    Bucket(Url),
}

impl ImageSettings {
    /// The S3 settings, if the store is a bucket and all of them are set.
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
