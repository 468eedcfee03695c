//! Commands for scripts: `dapanda token` and `dapanda room` print one line on standard output.

use std::io::{self, Write as _};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::claims::SignError;
use shared::clock::{Clock as _, SystemClock};
use shared::ids::RoomId;

use crate::demo;
use crate::keys::{DevKey, KeyError};
use crate::settings::{Room, Token};

/// The server is on this computer or near it; creating a room takes milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The development key cannot be read or created.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The token cannot be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// No server answers at the address.
    #[error("no answer from {server}: start a server there, or name another with --server")]
    NoAnswer {
        /// The address.
        server: Url,
        /// The cause.
        source: reqwest::Error,
    },
    /// The server trusts another key.
    #[error("{server} runs on another folder than this one: name its folder with --data")]
    OtherKey {
        /// The server's address.
        server: Url,
    },
    /// The server refused the request.
    #[error("{server} refused: {status}, {answer}")]
    Refused {
        /// The server's address.
        server: Url,
        /// The HTTP status.
        status: StatusCode,
        /// The body of the response.
        answer: Value,
    },
    /// Another program answers there.
    #[error("what answers at {server} is no dapanda")]
    NotOurs {
        /// The address.
        server: Url,
    },
    /// Standard output is closed.
    #[error("the result cannot be printed")]
    Print(#[from] io::Error),
}

/// The internal API's answer to a new room.
#[derive(Debug, Deserialize)]
struct Made {
    data: MadeRoom,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadeRoom {
    chat_room_id: RoomId,
}

/// Prints an access token.
///
/// # Errors
/// See [`CommandError`].
pub(crate) fn token(settings: &Token) -> Result<(), CommandError> {
    let key = DevKey::open(&settings.data)?;
    let token = key.access_token(settings.member, SystemClock.unix_millis())?;
    writeln!(io::stdout(), "{}", token.expose())?;
    Ok(())
}

/// Creates a room in a running server and prints its id.
///
/// # Errors
/// See [`CommandError`].
pub(crate) async fn room(settings: &Room) -> Result<(), CommandError> {
    let id = make_room(settings).await?;
    writeln!(io::stdout(), "{id}")?;
    Ok(())
}

async fn make_room(settings: &Room) -> Result<RoomId, CommandError> {
    // A key created now would not be trusted by any server.
    let key = DevKey::existing(&settings.data)?;
    let token = key.service_token(SystemClock.unix_millis())?;
    let server = &settings.server;
    let no_answer = |source: reqwest::Error| CommandError::NoAnswer {
        server: server.clone(),
        source: source.without_url(),
    };
    let mut url = server.clone();
    url.set_path("/internal/rooms");
    // Plain HTTP to a local server: no certificates, no proxy.
    let client = Client::builder()
        .timeout(ANSWER_MAX)
        .tls_certs_only([])
        .no_proxy();
    let request = client
        .build()
        .map_err(no_answer)?
        .post(url)
        .bearer_auth(token.expose())
        .json(&body(settings));
    let response = request.send().await.map_err(no_answer)?;
    let status = response.status();
    let answer: Value = response.json().await.unwrap_or_default();
    let server = server.clone();
    match status {
        StatusCode::OK => serde_json::from_value(answer)
            .map(|made: Made| made.data.chat_room_id)
            .map_err(|_other_shape| CommandError::NotOurs { server }),
        StatusCode::UNAUTHORIZED => Err(CommandError::OtherKey { server }),
        _ if answer.get("code").is_none() => Err(CommandError::NotOurs { server }),
        status => Err(CommandError::Refused {
            server,
            status,
            answer,
        }),
    }
}

fn body(settings: &Room) -> Value {
    let member = |&id| json!({"memberId": id, "role": "MEMBER", "name": demo::name(id)});
    let members: Vec<_> = settings.members.iter().map(member).collect();
    json!({"members": members, "opaque": settings.opaque})
}
