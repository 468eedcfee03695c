//! The SQL of quotes: few rows of an index each, however many offers there are.

use std::fmt::Write as _;
use std::sync::LazyLock;

use shared::clock::{LocalDateTime, Month, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::Units;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, SqlSafeStr, query};

use super::offers::{ANSWERS_MAX, Candidate, UNITS_MAX};
use super::prune::Bounds;
use crate::blocks::{listed, not_blocked};
use crate::db::row::column;

type Sql<T> = Result<T, sqlx::Error>;

/// Which offers count: of the month, valid until the quote ends, of other members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eligible {
    pub(super) month: Month,
    pub(super) until: UnixMillis,
    pub(super) buyer: MemberId,
    pub(super) without: Without,
}

/// The offers that are left out because they are hidden from the buyer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// None: a read finds that there are some, and is repeated without them.
    Nobody,
    /// Those of blocked accounts.
    Blocked,
    /// Those and the ones of members from whom the buyer is separated.
    Separated,
}

/// The column of an offer with its seller.
const SELLER: &str = "product.member_id";

/// The condition of eligible offers; `$1` is the month, `$2` the end of the quote, `$3` the buyer. An offer of
/// the month expires with it at the latest.
fn eligible(without: Without) -> String {
    let eligible = "kind = 'MOBILE_DATA' and state = 'ACTIVE' and month = $1 and expires_at >= $2 \
         and member_id <> $3";
    match without {
        Without::Nobody => eligible.to_owned(),
        Without::Blocked => format!("{eligible} and {}", listed(SELLER, None)),
        Without::Separated => format!("{eligible} and {}", listed(SELLER, Some("$3"))),
    }
}

/// Adds to candidates whether one is hidden from a buyer who is separated from nobody. (Measured on PostgreSQL
/// with 100,000 offers: a fifth more time; as a condition in each of the 41 parts of a text, three fifths more.)
fn with_hidden(candidates: &str) -> String {
    format!(
        "select c.*, cast(case when {} then 0 else 1 end as bigint) as hidden from ({candidates}) c",
        not_blocked("c.member_id")
    )
}

/// The columns of a candidate, from an index alone.
const WHOLE: &str = "id, member_id, units_left, price, expires_at, cast(0 as bigint) as split";
const SPLIT: &str =
    "id, member_id, units_left, unit_price as price, expires_at, cast(1 as bigint) as split";

/// Reads the offers that the best combinations can use (see [`super::prune`]), for the largest request, so
/// that there is one text: 146 whole offers, 24 split ones, and of those that cost as much as the last of these,
/// 24 of each size.
fn cheapest_text(without: Without) -> String {
    let eligible = eligible(without);
    let bounds = Bounds {
        up_to: usize::from(UNITS_MAX),
        answers: ANSWERS_MAX,
    };
    let few = bounds.cheaper_split();
    let mut text = format!(
        "with first_split as (select {SPLIT} from product where {eligible} and split = 1 \
         order by unit_price, units_left, expires_at, id limit {few}), \
         last_price as (select max(price) as price from first_split) \
         select * from first_split"
    );
    for size in 1..=usize::from(UNITS_MAX) {
        let whole = bounds.whole_of_size(size);
        let written = write!(
            text,
            " union all select * from (select {WHOLE} from product where {eligible} and split = 0 \
             and units_left = {size} order by price, expires_at, id limit {whole}) w{size} \
             union all select * from (select {SPLIT} from product where {eligible} and split = 1 \
             and unit_price = (select price from last_price) and units_left = {size} \
             order by expires_at, id limit {few}) s{size}"
        );
        written.expect("a string takes all text");
    }
    with_hidden(&text)
}

static CHEAPEST_OF_EACH_SIZE: LazyLock<String> = LazyLock::new(|| cheapest_text(Without::Nobody));
static CHEAPEST_LISTED: LazyLock<String> = LazyLock::new(|| cheapest_text(Without::Blocked));
static CHEAPEST_APART: LazyLock<String> = LazyLock::new(|| cheapest_text(Without::Separated));

/// The offers that the best combinations can use; some may be listed twice. `None` if one of them is hidden.
pub(super) async fn cheapest_of_each_size(
    connection: &mut AnyConnection,
    eligible: Eligible,
) -> Sql<Option<Vec<Candidate>>> {
    let text = match eligible.without {
        Without::Nobody => &CHEAPEST_OF_EACH_SIZE,
        Without::Blocked => &CHEAPEST_LISTED,
        Without::Separated => &CHEAPEST_APART,
    };
    candidates(connection, text.as_str(), eligible).await
}

/// The first offers by unit price: those from which the first site would have chosen. `None` if one of them is
/// hidden.
pub(super) async fn cheapest(
    connection: &mut AnyConnection,
    eligible: Eligible,
    limit: usize,
) -> Sql<Option<Vec<Candidate>>> {
    let condition = self::eligible(eligible.without);
    let text = with_hidden(&format!(
        "select id, member_id, units_left, case when split = 1 then unit_price else price end as price, \
         expires_at, split from product where {condition} order by unit_price, id limit {limit}"
    ));
    candidates(connection, AssertSqlSafe(text), eligible).await
}

async fn candidates(
    connection: &mut AnyConnection,
    text: impl SqlSafeStr,
    eligible: Eligible,
) -> Sql<Option<Vec<Candidate>>> {
    let rows = query(text)
        .bind(eligible.month.get())
        .bind(eligible.until.get())
        .bind(i64::from(eligible.buyer))
        .fetch_all(connection)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        if column(row, "hidden")? {
            return Ok(None);
        }
        found.push(candidate(row)?);
    }
    Ok(Some(found))
}

fn candidate(row: &AnyRow) -> Sql<Candidate> {
    Ok(Candidate {
        product: column(row, "id")?,
        seller: column(row, "member_id")?,
        units: column(row, "units_left")?,
        price: column(row, "price")?,
        sale: column(row, "split")?,
        expires_at: column(row, "expires_at")?,
    })
}

/// What a quote reads of its buyer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buyer {
    /// What the member has bought in the month.
    pub(super) bought: Units,
    /// What is left out of the first read.
    pub(super) without: Without,
}

/// The buyer of a quote, in a month.
pub(super) async fn buyer(
    connection: &mut AnyConnection,
    member: MemberId,
    month: Month,
) -> Sql<Buyer> {
    let row = query(
        "select coalesce((select bought from member_month where member_id = $1 and month = $2), 0) \
         as bought, cast(case when exists (select 1 from member_block where blocker_id = $1) \
         or exists (select 1 from member_block where blocked_id = $1) then 1 else 0 end as bigint) \
         as separated",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .fetch_one(connection)
    .await?;
    let is_separated = column(&row, "separated")?;
    Ok(Buyer {
        bought: column(&row, "bought")?,
        without: match is_separated {
            true => Without::Separated,
            false => Without::Nobody,
        },
    })
}

/// How an offer is shown, apart from what the optimizer knows of it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) member_name: String,
    pub(super) member_image: Option<String>,
    pub(super) updated_at: LocalDateTime,
}

/// Bound of ids in one statement: the parts of all answers and of the first site's choice, 120.
const IDS_MAX: usize = 128;

/// Sellers and times of offers, in no order.
pub(super) async fn shown(
    connection: &mut AnyConnection,
    products: &[ProductId],
) -> Sql<Vec<(ProductId, Shown)>> {
    let mut found = Vec::with_capacity(products.len());
    for ids in products.chunks(IDS_MAX) {
        // Only a few texts, so that each is prepared once: the last id fills the remaining parameters.
        let places = ids.len().next_power_of_two().max(8);
        let marks: Vec<_> = (1..=places).map(|n| format!("${n}")).collect();
        let text = format!(
            "select p.id, p.updated_at, m.name, m.image_url from product p \
             join member m on m.id = p.member_id where p.id in ({})",
            marks.join(", ")
        );
        let mut asked = query(AssertSqlSafe(text));
        let filled = ids.iter().chain(ids.last().into_iter().cycle());
        for id in filled.take(places) {
            asked = asked.bind(i64::from(*id));
        }
        for row in asked.fetch_all(&mut *connection).await? {
            let shown = Shown {
                member_name: row.try_get("name")?,
                member_image: row.try_get("image_url")?,
                updated_at: column(&row, "updated_at")?,
            };
            found.push((column(&row, "id")?, shown));
        }
    }
    Ok(found)
}
