//! The service account: the JSON file that the Firebase console creates.

use std::fs;
use std::io;
use std::path::Path;

use jsonwebtoken::EncodingKey;
use reqwest::Url;
use serde::Deserialize;

use super::super::PushSetupError;
use crate::config::AccountSource;

/// 64 KiB: the file has 2.4 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What is used of the file.
#[derive(Deserialize)]
struct AccountFile {
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// The service account.
pub(super) struct Account {
    pub(super) project: String,
    pub(super) key_id: String,
    pub(super) key: EncodingKey,
    pub(super) email: String,
    pub(super) token_url: Url,
}

impl Account {
    pub(super) fn open(source: &AccountSource) -> Result<Self, PushSetupError> {
        match source {
            AccountSource::File(path) => Self::read(path),
            AccountSource::Text(text) => Self::parse(text.expose().as_bytes()),
        }
    }

    fn read(path: &Path) -> Result<Self, PushSetupError> {
        let file = |source| PushSetupError::File {
            path: path.to_owned(),
            source,
        };
        if fs::metadata(path).map_err(file)?.len() > FILE_BYTES_MAX {
            return Err(file(io::Error::other("it is too large")));
        }
        Self::parse(&fs::read(path).map_err(file)?)
    }

    fn parse(json: &[u8]) -> Result<Self, PushSetupError> {
        // Not the parser's own error: it may show a part of the file, which holds a key.
        let bad = PushSetupError::Account;
        let file: AccountFile = serde_json::from_slice(json).map_err(|_json| {
            bad("expected JSON with project_id, private_key_id, private_key, client_email, token_uri")
        })?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|_key| bad("private_key is no RSA key in PEM"))?;
        let token_url = Url::parse(&file.token_uri).map_err(|_url| bad("token_uri is no URL"))?;
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte);
        if file.project_id.is_empty() || !file.project_id.bytes().all(is_id) {
            return Err(bad("project_id is no id of a project"));
        }
        Ok(Self {
            project: file.project_id,
            key_id: file.private_key_id,
            key,
            email: file.client_email,
            token_url,
        })
    }
}
