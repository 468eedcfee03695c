//! Data export: all personal data that the market stores about a member, for that member.

use serde::Serialize;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};
use utoipa::ToSchema;

use super::{Account as Accounts, AccountError};
use crate::db::DbError;
use crate::db::row::{column, optional};

/// Bound of rows of each kind, newest first: several years of a busy member.
const ROWS_MAX: i64 = 10_000;

/// The personal data that is stored about the caller.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Export {
    /// The account and its profile.
    account: Account,
    /// Sessions, the newest 10,000.
    logins: Vec<Login>,
    /// Offers, the newest 10,000.
    offers: Vec<Offer>,
    /// Trades, the newest 10,000.
    trades: Vec<Trade>,
    /// Uploaded pictures, the newest 10,000.
    uploads: Vec<Upload>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Account {
    member_id: i64,
    provider: String,
    provider_id: String,
    email: Option<String>,
    name: String,
    image_url: Option<String>,
    role: String,
    language: String,
    #[schema(value_type = String)]
    created_at: LocalDateTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Login {
    #[schema(value_type = String)]
    renewed_at: LocalDateTime,
    #[schema(value_type = String)]
    ends_at: LocalDateTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Offer {
    product_id: i64,
    kind: String,
    state: String,
    price: i64,
    title: Option<String>,
    content: Option<String>,
    address: Option<String>,
    #[schema(value_type = String)]
    created_at: LocalDateTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Trade {
    trade_id: i64,
    kind: String,
    price: i64,
    units: Option<i64>,
    minutes: Option<i64>,
    /// Start and end of bought time.
    #[schema(value_type = Option<String>)]
    start_time: Option<LocalDateTime>,
    #[schema(value_type = Option<String>)]
    end_time: Option<LocalDateTime>,
    #[schema(value_type = String)]
    created_at: LocalDateTime,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Upload {
    key: String,
    #[schema(value_type = String)]
    created_at: LocalDateTime,
}

impl Accounts {
    /// All personal data stored about this member.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub(super) async fn export(&self, member: MemberId) -> Result<Export, AccountError> {
        macro_rules! rows {
            ($text:literal, $read:expr) => {{
                let mut connection = self.db.read().await?;
                let rows = query(concat!($text, " limit $2"))
                    .bind(i64::from(member.get()))
                    .bind(ROWS_MAX)
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(DbError::from)?;
                rows.iter()
                    .map($read)
                    .collect::<Result<Vec<_>, sqlx::Error>>()
                    .map_err(DbError::from)?
            }};
        }
        let accounts = rows!(
            "select id, provider, provider_id, email, name, image_url, role, language, \
             created_at from member where id = $1",
            read_account
        );
        Ok(Export {
            account: accounts
                .into_iter()
                .next()
                .ok_or(AccountError::MemberUnknown)?,
            logins: rows!(
                "select rotated_at, expires_at from token_family where member_id = $1 \
                 order by rotated_at desc",
                read_login
            ),
            offers: rows!(
                "select p.id, p.kind, p.state, p.price, p.created_at, s.title, s.content, \
                 coalesce(s.exact_address, s.address) as address from product p left join spot s on s.product_id = p.id \
                 where p.member_id = $1 order by p.id desc",
                read_offer
            ),
            trades: rows!(
                "select t.id, t.kind, t.price, t.units, t.minutes, t.created_at, b.starts_at, \
                 b.ends_at from trade t left join booking b on b.trade_id = t.id \
                 where t.member_id = $1 order by t.id desc",
                read_trade
            ),
            uploads: rows!(
                "select key, created_at from upload where member_id = $1 \
                 order by created_at desc",
                read_upload
            ),
        })
    }
}

fn read_account(row: &AnyRow) -> Result<Account, sqlx::Error> {
    Ok(Account {
        member_id: row.try_get("id")?,
        provider: row.try_get("provider")?,
        provider_id: row.try_get("provider_id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        role: row.try_get("role")?,
        language: row.try_get("language")?,
        created_at: column(row, "created_at")?,
    })
}

fn read_login(row: &AnyRow) -> Result<Login, sqlx::Error> {
    Ok(Login {
        renewed_at: column(row, "rotated_at")?,
        ends_at: column(row, "expires_at")?,
    })
}

fn read_offer(row: &AnyRow) -> Result<Offer, sqlx::Error> {
    Ok(Offer {
        product_id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        state: row.try_get("state")?,
        price: row.try_get("price")?,
        title: row.try_get("title")?,
        content: row.try_get("content")?,
        address: row.try_get("address")?,
        created_at: column(row, "created_at")?,
    })
}

fn read_trade(row: &AnyRow) -> Result<Trade, sqlx::Error> {
    Ok(Trade {
        trade_id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        price: row.try_get("price")?,
        units: row.try_get("units")?,
        minutes: row.try_get("minutes")?,
        start_time: optional(row, "starts_at")?,
        end_time: optional(row, "ends_at")?,
        created_at: column(row, "created_at")?,
    })
}

fn read_upload(row: &AnyRow) -> Result<Upload, sqlx::Error> {
    Ok(Upload {
        key: row.try_get("key")?,
        created_at: column(row, "created_at")?,
    })
}
