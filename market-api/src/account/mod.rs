//! Pages about a member that join several domains: the public profile with its numbers, the month's data,
//! what is left of a plan, the profile picture, and the export of everything that is kept.
//!
//! It stands above the domains that it reads, so that none of them has to know another. It owns no table:
//! what it changes, it changes through the owner.

mod export;
mod http;
mod repo;

use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::MemberId;
use shared::money::{Units, Won};

use crate::db::{Db, DbError};
use crate::http::ApiError;
use crate::images::Images;
use crate::members::Members;

pub use http::routes;

/// The public profile of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The member.
    pub member: MemberId,
    /// The name shown to others.
    pub name: String,
    /// The profile picture.
    pub image_url: Option<String>,
    /// When the account was made.
    pub joined_at: UnixMillis,
    /// Sum of all ratings, in tenths of a star.
    pub rating_sum: i64,
    /// Number of ratings.
    pub rating_count: u64,
    /// Number of purchases.
    pub purchases: u64,
}

/// Amounts of data of one month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthOfData {
    /// Bought.
    pub bought: Units,
    /// Listed: of offers that are active or sold out.
    pub listed: Units,
    /// Sold.
    pub sold: Units,
}

/// What is left of a plan this month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanBalance {
    /// The plan's name.
    pub name: String,
    /// What the plan gave this month.
    pub providing: Units,
    /// `providing`, and what was bought, less what is listed or sold.
    pub current: Units,
    /// What the plan costs a month.
    pub monthly_price: Won,
}

/// Members' accounts across domains. Clones are the same.
#[derive(Clone, Debug)]
pub struct Account {
    db: Db,
    members: Members,
    images: Images,
}

impl Account {
    /// The accounts of this database.
    #[must_use]
    pub fn new(db: Db, members: Members, images: Images) -> Self {
        Self {
            db,
            members,
            images,
        }
    }

    /// The public profile of this member.
    ///
    /// # Errors
    /// [`ApiError::MemberUnknown`], or the database's.
    pub async fn info(&self, member: MemberId) -> Result<Info, ApiError> {
        let info = repo::info(&self.db, member).await?;
        info.ok_or(ApiError::MemberUnknown)
    }

    /// What is left of this member's plan in the present Seoul month; `None` without a plan.
    ///
    /// # Errors
    /// The database's.
    pub async fn plan(&self, member: MemberId) -> Result<Option<PlanBalance>, DbError> {
        let month = LocalDateTime::from_unix(self.db.now()).month();
        repo::plan(&self.db, member, month).await
    }

    /// What the member bought, listed and sold in the present Seoul month.
    ///
    /// # Errors
    /// The database's.
    pub async fn this_month(&self, member: MemberId) -> Result<MonthOfData, DbError> {
        let month = LocalDateTime::from_unix(self.db.now()).month();
        repo::month_of_data(&self.db, member, month).await
    }

    /// Makes an uploaded picture the member's profile picture.
    ///
    /// # Errors
    /// [`ApiError::ImageFormat`] for a URL that is no upload of this member, or the store's and the
    /// database's.
    pub async fn set_profile_image(&self, member: MemberId, url: String) -> Result<(), ApiError> {
        self.images.check(member, &url).await?;
        self.members.set_profile_image(member, url).await
    }
}
