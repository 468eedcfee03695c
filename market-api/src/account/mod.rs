//! Pages about a member that join several domains: the public profile with its numbers, the month's data,
//! the rest of a plan, the profile picture, the data export, and the end of the account.
//!
//! Ranks above the domains that it reads, so that these do not depend on one another. It owns no table:
//! changes go through the owners' functions.

mod close;
mod export;
mod http;
mod repo;

use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::money::{Units, Won};

use crate::auth::CookieSettings;
use crate::db::{Db, DbError};
use crate::images::{Images, UseError};
use crate::members::Members;

pub use close::{CloseError, InUse};
pub use http::routes;

/// The public profile of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The member.
    pub member: MemberId,
    /// The name shown to other members.
    pub name: String,
    /// URL of the profile picture, if the member has set one.
    pub image_url: Option<String>,
    /// When the account was created.
    pub joined_at: UnixMillis,
    /// Sum of all ratings, in tenths of a star.
    pub rating_sum: i64,
    /// The number of ratings behind `rating_sum`.
    pub rating_count: u64,
    /// The number of offers bought.
    pub purchases: u64,
}

/// Amounts of data of one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthOfData {
    /// Data bought, from all sellers.
    pub bought: Units,
    /// Data listed: in offers that are active or sold out.
    pub listed: Units,
    /// Data sold to others.
    pub sold: Units,
}

/// The rest of a plan in the present month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanBalance {
    /// The plan's name, as shown.
    pub name: String,
    /// Data that the plan included this month.
    pub providing: Units,
    /// `providing` plus purchases, minus data listed or sold.
    pub current: Units,
    /// The plan's price in won a month.
    pub monthly_price: Won,
}

/// Why an account was not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// No such member.
    #[error("no such member")]
    MemberUnknown,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Pages about members. Clones share one state.
#[derive(Clone, Debug)]
pub struct Account {
    db: Db,
    members: Members,
    images: Images,
    cookies: CookieSettings,
}

impl Account {
    /// Pages over the accounts in this database. `cookies` are those of a session, deleted with the account.
    #[must_use]
    pub fn new(db: Db, members: Members, images: Images, cookies: CookieSettings) -> Self {
        Self {
            db,
            members,
            images,
            cookies,
        }
    }

    /// The public profile of this member.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn info(&self, member: MemberId) -> Result<Info, AccountError> {
        let info = repo::info(&self.db, member).await?;
        info.ok_or(AccountError::MemberUnknown)
    }

    /// The rest of this member's plan in the present Seoul month; `None` without a plan.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan(&self, member: MemberId) -> Result<Option<PlanBalance>, DbError> {
        repo::plan(&self.db, member, self.db.month()).await
    }

    /// What the member bought, listed and sold in the present Seoul month.
    ///
    /// # Errors
    /// The database's.
    pub async fn this_month(&self, member: MemberId) -> Result<MonthOfData, DbError> {
        repo::month_of_data(&self.db, member, self.db.month()).await
    }

    /// Makes an uploaded picture the member's profile picture.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn set_profile_image(&self, member: MemberId, url: String) -> Result<(), UseError> {
        self.images.check(member, &url).await?;
        Ok(self.members.set_profile_image(member, url).await?)
    }
}
