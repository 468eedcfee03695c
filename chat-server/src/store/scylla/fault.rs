//! Classification of the driver's errors: nothing written, or outcome unknown.
//!
//! The question that matters: may the write have happened? The driver does not repeat an append, so
//! an error from before it was sent is certain. Of the servers' own answers only those are certain
//! that are given before a round begins. "Unavailable" is not among them: ScyllaDB and Cassandra
//! may give it, and "overloaded", also when the round is decided and the decision is being spread.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::metrics::StoreErrorKind;
use crate::store::StoreError;

/// Effect of the failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads.
    None,
    /// It writes.
    Writes,
}

/// The error for the caller.
pub(super) fn store_error(effect: Effect, error: &ExecutionError) -> StoreError {
    if effect == Effect::None || is_certain(error) {
        StoreError::Unavailable(error.to_string())
    } else {
        StoreError::Unknown(error.to_string())
    }
}

/// The error's label in the metrics.
pub(super) fn kind(error: &ExecutionError) -> StoreErrorKind {
    use StoreErrorKind::{Other, Overloaded, Timeout, Unavailable};
    let no_server = matches!(
        error,
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_)
    );
    match (error, db_error(error)) {
        _ if no_server => Unavailable,
        (ExecutionError::RequestTimeout(_), _) => Timeout,
        (_, Some(DbError::WriteTimeout { .. } | DbError::ReadTimeout { .. })) => Timeout,
        (_, Some(DbError::Unavailable { .. } | DbError::IsBootstrapping)) => Unavailable,
        (_, Some(DbError::Overloaded | DbError::RateLimitReached { .. })) => Overloaded,
        (ExecutionError::LastAttemptError(RequestAttemptError::BrokenConnectionError(_)), _) => {
            Unavailable
        }
        (ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId), _) => {
            Overloaded
        }
        (_, _) => Other,
    }
}

/// Whether nothing can have been written. Holds for statements that the driver does not repeat: of
/// others only the last attempt's error is known.
fn is_certain(error: &ExecutionError) -> bool {
    let was_not_sent = matches!(
        error,
        ExecutionError::BadQuery(_)
            | ExecutionError::EmptyPlan
            | ExecutionError::PrepareError(_)
            | ExecutionError::ConnectionPoolError(_)
            | ExecutionError::LastAttemptError(
                RequestAttemptError::SerializationError(_)
                    | RequestAttemptError::CqlRequestSerialization(_)
                    | RequestAttemptError::UnableToAllocStreamId
            )
    );
    let was_refused = matches!(
        db_error(error),
        Some(
            DbError::SyntaxError
                | DbError::Invalid
                | DbError::AuthenticationError
                | DbError::Unauthorized
                | DbError::ConfigError
                | DbError::IsBootstrapping
                | DbError::Unprepared { .. }
                | DbError::ProtocolError
                | DbError::RateLimitReached {
                    rejected_by_coordinator: true,
                    ..
                }
        )
    );
    was_not_sent || was_refused
}

/// Whether the server gave no answer at all: not even that others give it none.
pub(super) fn is_silence(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::RequestTimeout(_)
            | ExecutionError::LastAttemptError(RequestAttemptError::BrokenConnectionError(_))
    )
}

fn db_error(error: &ExecutionError) -> Option<&DbError> {
    match error {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, _)) => Some(error),
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_)
        | ExecutionError::LastAttemptError(_)
        | ExecutionError::RequestTimeout(_)
        | ExecutionError::UseKeyspaceError(_)
        | ExecutionError::SchemaAgreementError(_)
        | ExecutionError::MetadataError(_)
        | _ => None,
    }
}

/// What is stored is not what this program writes.
pub(super) fn corrupt(what: &str, why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scylla::errors::{OperationType, WriteType};
    use scylla::frame::types::Consistency;

    use super::*;

    fn answered(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    fn write_timeout(write_type: WriteType) -> DbError {
        DbError::WriteTimeout {
            consistency: Consistency::LocalSerial,
            received: 0,
            required: 2,
            write_type,
        }
    }

    #[track_caller]
    fn check(error: ExecutionError, is_certain: bool, counted: StoreErrorKind) {
        let reported = store_error(Effect::Writes, &error);
        assert_eq!(
            matches!(reported, StoreError::Unavailable(_)),
            is_certain,
            "{reported:?}"
        );
        assert_eq!(
            matches!(reported, StoreError::Unknown(_)),
            !is_certain,
            "{reported:?}"
        );
        assert!(matches!(
            store_error(Effect::None, &error),
            StoreError::Unavailable(_)
        ));
        assert_eq!(kind(&error), counted, "{error}");
    }

    #[test]
    fn only_what_was_never_begun_is_certain() {
        use StoreErrorKind::{Other, Overloaded, Timeout, Unavailable};
        check(ExecutionError::EmptyPlan, true, Unavailable);
        check(answered(DbError::Invalid), true, Other);
        check(answered(DbError::IsBootstrapping), true, Unavailable);
        let limit = |rejected_by_coordinator| DbError::RateLimitReached {
            op_type: OperationType::Write,
            rejected_by_coordinator,
        };
        check(answered(limit(true)), true, Overloaded);
        check(answered(limit(false)), false, Overloaded);
        check(
            ExecutionError::RequestTimeout(Duration::from_secs(1)),
            false,
            Timeout,
        );
        for write_type in [WriteType::Cas, WriteType::Simple, WriteType::BatchLog] {
            check(answered(write_timeout(write_type)), false, Timeout);
        }
        check(answered(DbError::Overloaded), false, Overloaded);
        check(answered(DbError::ServerError), false, Other);
        let too_few = DbError::Unavailable {
            consistency: Consistency::LocalQuorum,
            required: 2,
            alive: 1,
        };
        check(answered(too_few), false, Unavailable);
    }
}
