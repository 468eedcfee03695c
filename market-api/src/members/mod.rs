//! Members: accounts, profiles, and whether they are blocked. Owns the table `member`.
//!
//! What this module does not do: log members in (`login`), hold their cash (`cash`) or plans (`plans`).

mod http;
mod provider;
mod repo;

use serde_json::json;
use shared::claims::Role;
use shared::ids::MemberId;

use crate::cache::{ListCache, Namespace};
use crate::cash;
use crate::db::{Abort, Db, Tx};
use crate::http::{ApiError, Language};
use crate::outbox::{self, Event, EventKind};
use crate::plans::{self, Plan};

pub use http::routes;
pub use provider::Provider;
pub use repo::{exists_in, lock_in, lock_rating_in, lock_shared_in, set_status_in};

/// Whether a member may log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// The member may log in.
    Active,
    /// The member may not; it holds from the next request on.
    Blocked,
}

/// The mean of `count` ratings in thousandths of a star, rounded; `sum` is in tenths of a star. 0
/// without ratings.
#[must_use]
pub const fn mean_rate(sum: i64, count: i64) -> i64 {
    if count <= 0 {
        return 0;
    }
    (sum * 100 + count / 2) / count
}

/// What a provider says of somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Whose word it is.
    pub provider: Provider,
    /// Who, to that provider. Never changes; the member's key together with the provider.
    pub provider_id: String,
    /// A way to write to them, if they gave one and the provider vouches for it. Never a key.
    pub email: Option<String>,
    /// What they are called.
    pub name: String,
    /// Their picture.
    pub image_url: Option<String>,
}

/// Members.
#[derive(Clone, Debug)]
pub struct Members {
    db: Db,
    cache: ListCache,
}

impl Members {
    /// The members of this database; `cache` has the lists that show them as sellers.
    #[must_use]
    pub fn new(db: Db, cache: ListCache) -> Self {
        Self { db, cache }
    }

    /// The member that a provider knows, made if they come for the first time: with a random plan
    /// and an empty wallet.
    ///
    /// # Errors
    /// [`ApiError::MemberBlocked`], or the database's.
    pub async fn find_or_create(&self, profile: Profile) -> Result<(MemberId, Role), ApiError> {
        // Nothing is written for somebody who comes again as they were: not even on a full disk.
        match repo::known_as(&self.db, &profile).await? {
            Some((known, _)) if known.is_blocked => return Err(ApiError::MemberBlocked),
            Some((known, email)) if email == profile.email => {
                return Ok((known.member, known.role));
            }
            Some(_) | None => {}
        }
        // Chosen here, since a closure may be run again.
        let plan = Plan::random(&mut rand::rng());
        let welcomed = self.db.write((profile, plan), |(profile, plan), tx| {
            Box::pin(async move {
                if let Some(member) = repo::insert_member(tx, profile).await? {
                    cash::open_in(tx, member).await?;
                    plans::insert_in(tx, member, plan).await?;
                    return Ok((member, Role::NewMember));
                }
                let known = repo::update_from_profile(tx, profile).await?;
                if known.is_blocked {
                    return Err(Abort::Refused(ApiError::MemberBlocked));
                }
                Ok((known.member, known.role))
            })
        });
        Ok(welcomed.await?)
    }

    /// What this member may do.
    ///
    /// # Errors
    /// [`ApiError::MemberUnknown`], [`ApiError::MemberBlocked`], or the database's.
    pub async fn role(&self, member: MemberId) -> Result<Role, ApiError> {
        let known = repo::known(&self.db, member).await?;
        let known = known.ok_or(ApiError::MemberUnknown)?;
        if known.is_blocked {
            return Err(ApiError::MemberBlocked);
        }
        Ok(known.role)
    }

    /// Onboarding is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn become_member(&self, member: MemberId) -> Result<(), ApiError> {
        let changed = self.db.write(member, |member, tx| {
            Box::pin(async move {
                repo::become_member(tx, *member).await?;
                Ok::<_, Abort<ApiError>>(())
            })
        });
        Ok(changed.await?)
    }

    /// In which language they want to be told.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_language(&self, member: MemberId, language: Language) -> Result<(), ApiError> {
        let changed = self.db.write((member, language), |(member, language), tx| {
            Box::pin(async move {
                repo::set_language(tx, *member, *language).await?;
                Ok::<_, Abort<ApiError>>(())
            })
        });
        Ok(changed.await?)
    }

    /// Changes the profile picture, also in lists of offers. The URL is one that `images` has checked.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_profile_image(
        &self,
        member: MemberId,
        image_url: String,
    ) -> Result<(), ApiError> {
        let db = self.db.clone();
        let write = async move {
            let changed = db.write((member, image_url), |(member, image_url), tx| {
                Box::pin(async move {
                    let name = repo::set_image(tx, *member, image_url).await?;
                    let data = json!({ "name": name, "imageUrl": image_url });
                    tell(tx, EventKind::MemberUpdated, *member, data).await?;
                    Ok::<_, Abort<ApiError>>(())
                })
            });
            Ok((Namespace::OFFERS, changed.await?))
        };
        Ok(self.cache.change(write).await?)
    }
}

async fn tell(
    tx: &mut Tx<'_>,
    kind: EventKind,
    member: MemberId,
    data: serde_json::Value,
) -> Result<(), sqlx::Error> {
    let event = Event {
        kind,
        aggregate: format!("member:{member}"),
        members: vec![member],
        data,
    };
    outbox::append(tx, &event).await
}
