//! Members: accounts, profiles, and whether they are blocked. Owns the table `member`.
//!
//! What this module does not do: log members in (`login`), hold their cash (`cash`) or plans (`plans`).

mod close;
mod http;
mod provider;
mod repo;

use std::convert::Infallible;

use shared::claims::Role;
use shared::event::{Event, MemberUpdated};
use shared::ids::MemberId;
use shared::text::Language;

use crate::cache::{ListCache, Namespace};
use crate::cash;
use crate::db::{Abort, Db, DbError, Tx, WriteError, defect};
use crate::outbox::{self, NewEvent};
use crate::plans::{self, Plan};

pub use close::{Closing, close_in, is_open_in, lock_to_close_in};
pub use http::routes;
pub use provider::Provider;
pub use repo::{exists, lock_in, lock_rating_in, lock_shared_in, set_rating_in, set_status_in};

/// The status of a member's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStatus {
    /// The member may log in.
    Active,
    /// The member may not log in, and open sessions are refused from the next request on.
    Blocked,
}

/// Whether a transaction has changed the status of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusChange {
    /// At least one account was blocked or unblocked.
    Changed,
    /// None was.
    Unchanged,
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

/// Attempts of a login to find or create the member while the account is being closed.
const WELCOME_TRIES_MAX: u32 = 3;

/// The ratings of a member, added up: a mean of means would drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rating {
    /// The sum, in tenths of a star.
    pub sum: i64,
    /// The number of ratings.
    pub count: i64,
}

impl Rating {
    /// The mean in thousandths of a star, see [`mean_rate`].
    #[must_use]
    pub const fn mean(self) -> i64 {
        mean_rate(self.sum, self.count)
    }

    /// The rating with `tenths` and `count` added, which are negative where ratings go. `None` if either would be
    /// below 0 or beyond its range.
    #[must_use]
    pub fn changed_by(self, tenths: i64, count: i64) -> Option<Self> {
        let at_least_0 = |number: &i64| *number >= 0;
        Some(Self {
            sum: self.sum.checked_add(tenths).filter(at_least_0)?,
            count: self.count.checked_add(count).filter(at_least_0)?,
        })
    }
}

/// A person's profile at a login provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The provider that vouches for the profile.
    pub provider: Provider,
    /// The person's id at that provider. Immutable; with the provider it is the member's key.
    pub provider_id: String,
    /// Contact address, if the person shared it and the provider has verified it. Never a key.
    pub email: Option<String>,
    /// The display name.
    pub name: String,
    /// URL of the profile picture.
    pub image_url: Option<String>,
}

/// Why there is no member to act as.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// No such member.
    #[error("no such member")]
    Unknown,
    /// The member is blocked.
    #[error("the member is blocked")]
    Blocked,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The members. Clones share one state.
#[derive(Clone, Debug)]
pub struct Members {
    db: Db,
    cache: ListCache,
}

impl Members {
    /// The members in this database; `cache` holds the lists that display them as sellers.
    #[must_use]
    pub fn new(db: Db, cache: ListCache) -> Self {
        Self { db, cache }
    }

    /// Finds the member of a profile, or creates one with a random plan and an empty wallet.
    ///
    /// # Errors
    /// [`MemberError::Blocked`], or the database's.
    pub async fn find_or_create(&self, profile: Profile) -> Result<(MemberId, Role), MemberError> {
        // A login without changes writes nothing, so it succeeds even on a full disk.
        match repo::known_as(&self.db, &profile).await? {
            Some((known, _)) if known.is_blocked => return Err(MemberError::Blocked),
            Some((known, email)) if email == profile.email => {
                return Ok((known.member, known.role));
            }
            Some(_) | None => {}
        }
        // Drawn outside the transaction, whose function may be rerun.
        let plan = Plan::random(&mut rand::rng());
        let welcomed = self.db.write((profile, plan), |(profile, plan), tx| {
            Box::pin(find_or_create_in(tx, profile, plan))
        });
        welcomed.await.map_err(WriteError::into_domain)
    }

    /// The member's role.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn role(&self, member: MemberId) -> Result<Role, MemberError> {
        let known = repo::known(&self.db, member).await?;
        let known = known.ok_or(MemberError::Unknown)?;
        if known.is_blocked {
            return Err(MemberError::Blocked);
        }
        Ok(known.role)
    }

    /// Ends the onboarding: the role becomes that of a member.
    ///
    /// # Errors
    /// The database's.
    pub async fn become_member(&self, member: MemberId) -> Result<(), DbError> {
        let changed = self.db.write(member, |member, tx| {
            Box::pin(async move {
                repo::become_member(tx, *member).await?;
                Ok::<_, Abort<Infallible>>(())
            })
        });
        Ok(changed.await?)
    }

    /// Makes the member an administrator. No route does: it is for programs that embed the market.
    ///
    /// # Errors
    /// The database's.
    pub async fn become_admin(&self, member: MemberId) -> Result<(), DbError> {
        let changed = self.db.write(member, |member, tx| {
            Box::pin(async move {
                repo::become_admin(tx, *member).await?;
                Ok::<_, Abort<Infallible>>(())
            })
        });
        Ok(changed.await?)
    }

    /// Sets the language of error texts and notifications. No effect on a closed account.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_language(&self, member: MemberId, language: Language) -> Result<(), DbError> {
        let changed = self.db.write((member, language), |(member, language), tx| {
            Box::pin(async move {
                if let Some(updated) = repo::set_language(tx, *member, *language).await? {
                    append_updated(tx, *member, updated).await?;
                }
                Ok::<_, Abort<Infallible>>(())
            })
        });
        Ok(changed.await?)
    }

    /// Runs a transaction that may block or unblock accounts (also by closing them): the only way to call
    /// [`set_status_in`]. The listings of a blocked account leave the lists, so if a status has changed, all
    /// lists of offers are invalidated after the COMMIT.
    ///
    /// The future runs the transaction, and returns whether a status has changed, with its result:
    ///
    /// ```text
    /// let db = self.db.clone();
    /// let done = self.members.change_status(async move {
    ///     let work = db.write(command, |command, tx| Box::pin(carry_out_in(command, tx)));
    ///     let has_changed: StatusChange = work.await?;
    ///     Ok((has_changed, ()))
    /// });
    /// done.await.map_err(WriteError::into_domain)
    /// ```
    ///
    /// # Errors
    /// The transaction's.
    pub async fn change_status<T, E>(
        &self,
        write: impl Future<Output = Result<(StatusChange, T), WriteError<E>>> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let write = async move {
            let (change, value) = write.await?;
            let changed: &[Namespace] = match change {
                StatusChange::Changed => &Namespace::OFFERS,
                StatusChange::Unchanged => &[],
            };
            Ok((changed.iter().copied(), value))
        };
        self.cache.change(write).await
    }

    /// Changes the profile picture and invalidates the lists that display it. `images` has checked the URL. No
    /// effect on a closed account.
    ///
    /// # Errors
    /// The database's.
    pub async fn set_profile_image(
        &self,
        member: MemberId,
        image_url: String,
    ) -> Result<(), DbError> {
        let db = self.db.clone();
        let write = async move {
            let changed = db.write((member, image_url), |(member, image_url), tx| {
                Box::pin(set_image_in(tx, *member, image_url))
            });
            Ok((Namespace::OFFERS, changed.await?))
        };
        Ok(self.cache.change(write).await?)
    }
}

async fn find_or_create_in(
    tx: &mut Tx<'_>,
    profile: &Profile,
    plan: &Plan,
) -> Result<(MemberId, Role), Abort<MemberError>> {
    for _ in 0..WELCOME_TRIES_MAX {
        if let Some(member) = repo::insert_member(tx, profile).await? {
            welcome_in(tx, member, profile, plan).await?;
            return Ok((member, Role::NewMember));
        }
        match repo::update_from_profile(tx, profile).await? {
            Some(known) if known.is_blocked => return Err(Abort::Refused(MemberError::Blocked)),
            Some(known) => return Ok((known.member, known.role)),
            // The account was closed between the statements: the person is a new member.
            None => {}
        }
    }
    Err(defect("the account of a profile closes again and again".to_owned()).into())
}

/// What a new member gets: an empty wallet, a plan, an event.
async fn welcome_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    profile: &Profile,
    plan: &Plan,
) -> Result<(), sqlx::Error> {
    cash::open_in(tx, member).await?;
    plans::insert_in(tx, member, plan).await?;
    let updated = MemberUpdated {
        name: profile.name.clone(),
        image_url: profile.image_url.clone(),
        language: Some(Language::default()),
    };
    append_updated(tx, member, updated).await
}

async fn set_image_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    image_url: &str,
) -> Result<(), Abort<Infallible>> {
    if let Some(updated) = repo::set_image(tx, member, image_url).await? {
        append_updated(tx, member, updated).await?;
    }
    Ok(())
}

/// Reports a new member, or one whose name, picture or language has changed.
async fn append_updated(
    tx: &mut Tx<'_>,
    member: MemberId,
    updated: MemberUpdated,
) -> Result<(), sqlx::Error> {
    let updated = Event::MemberUpdated(updated);
    outbox::append(tx, &NewEvent::of_member(member, updated)).await
}
