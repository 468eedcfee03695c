//! Reads pages of reviews.

use shared::web::Rows;

use super::page::{Cursor, ReviewPage, ReviewQuery};
use super::{Reviews, repo};
use crate::db::DbError;
use crate::members;

/// Why a page is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// No such member.
    #[error("no such member")]
    MemberUnknown,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Reviews {
    /// A page of a member's reviews.
    ///
    /// # Errors
    /// See [`ListError`].
    pub async fn list(&self, query: &ReviewQuery) -> Result<ReviewPage, ListError> {
        let mut connection = self.db.read().await?;
        let rows = repo::page(&mut connection, query).await;
        let rows = Rows::cut(rows.map_err(DbError::from)?, query.size);
        // A member with a review exists.
        if rows.rows.is_empty() {
            let exists = members::exists(&mut connection, query.member).await;
            if !exists.map_err(DbError::from)? {
                return Err(ListError::MemberUnknown);
            }
        }
        let last = rows.rows.last().filter(|_| rows.has_next);
        Ok(ReviewPage {
            next: last.map(|row| Cursor::of(query.sort, row)),
            rows: rows.rows,
        })
    }
}
