//! What a report is about. The first front end reports a member with a room's id, and a review as a product, so an id
//! is what the reporter has seen, where it can be several things:
//!
//! | category | first that exists |
//! |---|---|
//! | MEMBER | a member known to the reporter; the other member of the reporter's room; any member |
//! | PRODUCT | an offer of a known member; a review by a known member; any offer; any review |
//! | REVIEW | the review |
//! | CHAT | the message, in a room of the reporter |
//!
//! An own id comes last among them: nobody reports themself on purpose.

use super::messages::ChatMessage;
use super::{Category, NewReport, ReportError, Subject, TxResult, repo};
use crate::db::{Abort, Tx};

/// Bound of an excerpt, in characters.
const EXCERPT_CHARS_MAX: usize = 1_000;

/// Finds the subject of a report. `message` is that of a report of a chat message.
pub(super) async fn resolve_in(
    tx: &mut Tx<'_>,
    new: &NewReport,
    message: Option<&ChatMessage>,
) -> TxResult<Subject> {
    let subject = match new.category {
        Category::Member => member_in(tx, new).await?,
        Category::Product => product_in(tx, new).await?,
        Category::Review => {
            let review = review_in(tx, new).await?;
            review.ok_or(Abort::Refused(ReportError::ReviewUnknown))?
        }
        Category::Chat => message_in(tx, new, message).await?,
    };
    if subject.member == new.reporter {
        return Err(Abort::Refused(ReportError::Oneself));
    }
    Ok(subject)
}

async fn member_in(tx: &mut Tx<'_>, new: &NewReport) -> TxResult<Subject> {
    let named = repo::member_in(tx, new.target.0).await?;
    if let Some(member) = &named
        && repo::knows_in(tx, new.reporter, member.id).await?
    {
        return Ok(of_member(member, true));
    }
    if let Some(other) = repo::other_in_room_in(tx, new.target.0, new.reporter).await? {
        return Ok(of_member(&other, true));
    }
    match named {
        Some(member) => Ok(of_member(&member, false)),
        None => Err(Abort::Refused(ReportError::MemberUnknown)),
    }
}

fn of_member(member: &repo::Named, is_known: bool) -> Subject {
    Subject {
        category: Category::Member,
        id: member.id.into(),
        member: member.id,
        is_known,
        excerpt: Some(cut(&member.text)),
    }
}

async fn product_in(tx: &mut Tx<'_>, new: &NewReport) -> TxResult<Subject> {
    let offer = repo::offer_in(tx, new.target.0).await?;
    let offer = match offer {
        Some(offer) => Some(Subject {
            category: Category::Product,
            id: new.target.0,
            member: offer.id,
            is_known: repo::knows_in(tx, new.reporter, offer.id).await?,
            excerpt: Some(cut(&offer.text)),
        }),
        None => None,
    };
    if offer.as_ref().is_some_and(|offer| offer.is_known) {
        return offer.ok_or(Abort::Refused(ReportError::ProductUnknown));
    }
    let review = review_in(tx, new).await?;
    let is_known = review.as_ref().is_some_and(|review| review.is_known);
    let first = if is_known { review } else { offer.or(review) };
    first.ok_or(Abort::Refused(ReportError::ProductUnknown))
}

async fn review_in(tx: &mut Tx<'_>, new: &NewReport) -> TxResult<Option<Subject>> {
    let Some(review) = repo::review_in(tx, new.target.0).await? else {
        return Ok(None);
    };
    Ok(Some(Subject {
        category: Category::Review,
        id: new.target.0,
        member: review.id,
        is_known: repo::knows_in(tx, new.reporter, review.id).await?,
        excerpt: Some(cut(&review.text)),
    }))
}

/// The chat server has checked that the reporter is in the room, which the sender shares.
async fn message_in(
    tx: &mut Tx<'_>,
    new: &NewReport,
    message: Option<&ChatMessage>,
) -> TxResult<Subject> {
    let unknown = Abort::Refused(ReportError::MessageUnknown);
    let message = message.ok_or(unknown)?;
    let unknown = Abort::Refused(ReportError::MessageUnknown);
    let sender = message.sender.ok_or(unknown)?;
    // The operators' rooms may have members whom the market does not have.
    let sender = repo::member_in(tx, sender.into()).await?;
    let sender = sender.ok_or(Abort::Refused(ReportError::MemberUnknown))?;
    Ok(Subject {
        category: Category::Chat,
        id: new.target.0,
        member: sender.id,
        is_known: true,
        excerpt: message.text.as_deref().map(cut),
    })
}

/// The text within the bound, without NUL, which PostgreSQL cannot store.
fn cut(text: &str) -> String {
    let kept = text.chars().filter(|char| *char != '\0');
    kept.take(EXCERPT_CHARS_MAX).collect()
}
