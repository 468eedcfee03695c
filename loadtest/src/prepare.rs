//! Preparation for a generic load generator: a key, rooms, and tokens of their members.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use shared::claims::{
    FamilyId, GeneratedKey, InvalidPrivateKey, Jwks, KeyGenerationFailed, MemberGrant, MemberToken,
    Role, ServiceGrant, SignError, Signer, TokenId, TokenScope, generate_key,
};
use shared::clock::{Clock as _, SystemClock};
use shared::config::Secret;
use shared::ids::{InvalidId, MemberId};
use tokio::time::sleep;

/// Why a server could not be prepared.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("{path} cannot be read or written", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("no key could be made")]
    NoKey(#[source] KeyGenerationFailed),
    #[error("the file holds no private key")]
    Key(#[source] InvalidPrivateKey),
    #[error("a token cannot be signed")]
    Sign(#[source] SignError),
    #[error("member ids run out")]
    Member(#[source] InvalidId),
    #[error("the server does not answer")]
    Server(#[source] reqwest::Error),
    #[error("room {room} was refused with {status}: {body}")]
    Refused {
        room: u32,
        status: u16,
        body: String,
    },
}

/// Attempts to create a room while the server answers that it is unavailable, and the pause between
/// them.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// `loadtest key`
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Folder for key.pem and jwks.json
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

/// `loadtest prepare`
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// URL of the chat server's internal API
    #[arg(long, value_name = "URL")]
    server: String,

    /// Folder with key.pem; auth.txt (one CONNECT header per line) and rooms.txt (one room id per
    /// line) are written to it
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,

    /// Rooms, from 1 on
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    rooms: u32,

    /// Members, from 1 on; each is in every room
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    members: u32,
}

/// Signs tokens in place of the market.
#[derive(Debug)]
pub(crate) struct Issuer {
    signer: Signer,
}

/// Creates rooms through a chat server's internal API.
#[derive(Debug)]
pub(crate) struct RoomMaker {
    http: reqwest::Client,
    server: String,
    token: Secret<String>,
}

impl Key {
    pub(crate) fn run(&self) -> Result<(), PrepareError> {
        let GeneratedKey {
            private_pem,
            public,
        } = generate_key().map_err(PrepareError::NoKey)?;
        let jwks = json!(Jwks { keys: vec![public] }).to_string();
        write(&self.folder.join("key.pem"), private_pem.expose())?;
        write(&self.folder.join("jwks.json"), &jwks)
    }
}

impl Prepare {
    pub(crate) async fn run(&self) -> Result<(), PrepareError> {
        let issuer = Issuer::open(&self.folder)?;
        let maker = issuer.room_maker(self.server.clone())?;
        let members: Vec<u32> = (1..=self.members).collect();
        for room in 1..=self.rooms {
            maker.put(room, &members).await?;
        }
        let mut auth = String::new();
        for member in members {
            let token = issuer.member_token(member)?;
            auth.push_str("Authorization:Bearer ");
            auth.push_str(token.expose());
            auth.push('\n');
        }
        let rooms: String = (1..=self.rooms).map(|room| format!("{room}\n")).collect();
        write(&self.folder.join("auth.txt"), &auth)?;
        write(&self.folder.join("rooms.txt"), &rooms)
    }
}

impl Issuer {
    /// Reads the key from `key.pem` of a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, PrepareError> {
        let path = folder.join("key.pem");
        let pem = std::fs::read_to_string(&path)
            .map_err(|error| PrepareError::File(path.clone(), error))?;
        let scope = TokenScope {
            issuer: "dapanda".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let signer = Signer::from_pem(&Secret::new(pem), scope).map_err(PrepareError::Key)?;
        Ok(Self { signer })
    }

    pub(crate) fn member_token(&self, member: u32) -> Result<Secret<String>, PrepareError> {
        let mut rng = rand::rng();
        let grant = MemberGrant {
            member: MemberId::try_from(u64::from(member)).map_err(PrepareError::Member)?,
            role: Role::Member,
            token: MemberToken::Access,
            family: FamilyId::random(&mut rng),
            token_id: TokenId::random(&mut rng),
        };
        let token = self.signer.member_token(grant, SystemClock.unix_millis());
        token.map_err(PrepareError::Sign)
    }

    /// `server` is the URL of the internal API.
    pub(crate) fn room_maker(&self, server: String) -> Result<RoomMaker, PrepareError> {
        let service = "loadtest".parse().expect("a valid service name");
        let token_id = TokenId::random(&mut rand::rng());
        let grant = ServiceGrant { service, token_id };
        let token = self.signer.service_token(grant, SystemClock.unix_millis());
        Ok(RoomMaker {
            http: reqwest::Client::new(),
            server,
            token: token.map_err(PrepareError::Sign)?,
        })
    }
}

impl RoomMaker {
    /// Creates a room with these members. Retries while the store is busy.
    pub(crate) async fn put(&self, room: u32, members: &[u32]) -> Result<(), PrepareError> {
        let mut left = TRIES;
        loop {
            left -= 1;
            match self.try_put(room, members).await {
                Err(PrepareError::Refused { status: 503, .. }) if left > 0 => sleep(PAUSE).await,
                done => return done,
            }
        }
    }

    async fn try_put(&self, room: u32, members: &[u32]) -> Result<(), PrepareError> {
        let members: Vec<_> = members
            .iter()
            .map(|id| json!({"memberId": id, "role": "MEMBER", "name": format!("member {id}")}))
            .collect();
        let body = json!({"members": members}).to_string();
        let url = format!("{}/internal/rooms/{room}", self.server);
        let request = self
            .http
            .put(url)
            .bearer_auth(self.token.expose())
            .body(body);
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.map_err(PrepareError::Server)?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(PrepareError::Server)?;
        Err(PrepareError::Refused { room, status, body })
    }
}

fn write(path: &Path, text: &str) -> Result<(), PrepareError> {
    std::fs::write(path, text).map_err(|error| PrepareError::File(path.to_owned(), error))
}
