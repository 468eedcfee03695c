//! Rooms and tokens for a load generator that knows nothing of this server.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use shared::claims::{
    FamilyId, GeneratedKey, InvalidPrivateKey, Jwks, KeyGenerationFailed, MemberGrant, MemberToken,
    Role, ServiceGrant, SignError, Signer, TokenId, TokenScope, generate_key,
};
use shared::clock::{Clock as _, SystemClock};
use shared::config::Secret;
use shared::ids::{InvalidId, MemberId};

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

/// `loadtest key`
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// Gets key.pem and jwks.json
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
}

/// `loadtest prepare`
#[derive(Debug, Args)]
pub(crate) struct Prepare {
    /// Where the chat server serves its internal API
    #[arg(long, value_name = "URL")]
    server: String,

    /// Has key.pem; gets auth.txt, a CONNECT header a line, and rooms.txt, a room's id a line
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,

    /// Rooms, from 1 on
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    rooms: u32,

    /// Members, from 1 on; each is in every room
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    members: u32,
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
        let path = self.folder.join("key.pem");
        let pem = std::fs::read_to_string(&path)
            .map_err(|error| PrepareError::File(path.clone(), error))?;
        let scope = TokenScope {
            issuer: "dapanda".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let signer = Signer::from_pem(&Secret::new(pem), scope).map_err(PrepareError::Key)?;
        self.make_rooms(&signer).await?;
        let mut auth = String::new();
        for member in 1..=self.members {
            let token = member_token(&signer, member)?;
            auth.push_str("Authorization:Bearer ");
            auth.push_str(token.expose());
            auth.push('\n');
        }
        let rooms: String = (1..=self.rooms).map(|room| format!("{room}\n")).collect();
        write(&self.folder.join("auth.txt"), &auth)?;
        write(&self.folder.join("rooms.txt"), &rooms)
    }

    async fn make_rooms(&self, signer: &Signer) -> Result<(), PrepareError> {
        let service = "loadtest".parse().expect("a valid service name");
        let token_id = TokenId::random(&mut rand::rng());
        let grant = ServiceGrant { service, token_id };
        let now = SystemClock.unix_millis();
        let token = signer
            .service_token(grant, now)
            .map_err(PrepareError::Sign)?;
        let members: Vec<_> = (1..=self.members)
            .map(|id| json!({"memberId": id, "role": "MEMBER", "name": format!("member {id}")}))
            .collect();
        let body = json!({"members": members}).to_string();
        let http = reqwest::Client::new();
        for room in 1..=self.rooms {
            let url = format!("{}/internal/rooms/{room}", self.server);
            let request = http.put(url).bearer_auth(token.expose()).body(body.clone());
            let request = request.header("content-type", "application/json");
            let answer = request.send().await.map_err(PrepareError::Server)?;
            if !answer.status().is_success() {
                let status = answer.status().as_u16();
                let body = answer.text().await.map_err(PrepareError::Server)?;
                return Err(PrepareError::Refused { room, status, body });
            }
        }
        Ok(())
    }
}

fn member_token(signer: &Signer, member: u32) -> Result<Secret<String>, PrepareError> {
    let mut rng = rand::rng();
    let grant = MemberGrant {
        member: MemberId::try_from(u64::from(member)).map_err(PrepareError::Member)?,
        role: Role::Member,
        token: MemberToken::Access,
        family: FamilyId::random(&mut rng),
        token_id: TokenId::random(&mut rng),
    };
    signer
        .member_token(grant, SystemClock.unix_millis())
        .map_err(PrepareError::Sign)
}

fn write(path: &Path, text: &str) -> Result<(), PrepareError> {
    std::fs::write(path, text).map_err(|error| PrepareError::File(path.to_owned(), error))
}
