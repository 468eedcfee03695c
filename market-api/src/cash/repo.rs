//! The SQL of wallets.

use shared::ids::MemberId;
use shared::money::Won;
use sqlx::query;

use crate::db::row::column;
use crate::db::{Db, DbError, Lock, Tx, locking};

/// Opens the empty wallet of a new member. Every payment locks the wallet, so each member must have one.
///
/// # Errors
/// The database's error; also if the member has a wallet already.
pub async fn open_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    query("insert into wallet (member_id) values ($1)")
        .bind(i64::from(member))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Locks a member's wallet until the transaction ends. Read the protected rows in a later statement: a
/// statement that waits for a lock keeps the snapshot it began with (`money.md`, "Transactions").
///
/// # Errors
/// The database's; [`sqlx::Error::RowNotFound`] for a member without a wallet, a defect.
pub async fn lock_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let text = locking!(
        tx,
        [Lock::Wallet(member)],
        "select member_id from wallet where member_id = $1"
    );
    let row = query(text).bind(i64::from(member));
    row.fetch_one(tx.connection()).await?;
    Ok(())
}

/// Both buckets plus the sales not folded into them yet, less what they will repay, in one statement: between two
/// statements a sale could be folded, and then be counted twice or not at all.
pub(super) async fn balance(db: &Db, member: MemberId) -> Result<Won, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select cast(kept + case when income > owed then income - owed else 0 end as bigint) as cash \
         from (select coalesce(sum(charged + earned), 0) as kept, coalesce(sum(owed), 0) as owed, \
         (select coalesce(sum(amount), 0) from credit where member_id = $1 and folded = 0) as income \
         from wallet where member_id = $1) as balance",
    )
    .bind(i64::from(member))
    .fetch_one(&mut *connection)
    .await?;
    Ok(column(&row, "cash")?)
}

/// Sales that may stay unfolded: a balance adds them up.
const OPEN_CREDITS_MAX: i64 = 100;

/// Members folded in one run; the next run continues.
const MEMBERS_MAX: i64 = 1_000;

/// Members with more than [`OPEN_CREDITS_MAX`] sales that are not folded yet.
pub(super) async fn members_to_fold(db: &Db) -> Result<Vec<MemberId>, DbError> {
    let rows = query(
        "select member_id from credit where folded = 0 group by member_id having count(*) > $1 \
         order by member_id limit $2",
    )
    .bind(OPEN_CREDITS_MAX)
    .bind(MEMBERS_MAX)
    .fetch_all(&mut *db.read().await?)
    .await?;
    let members: Result<_, sqlx::Error> = rows.iter().map(|row| column(row, "member_id")).collect();
    Ok(members?)
}
