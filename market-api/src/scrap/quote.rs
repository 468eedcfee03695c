//! Quotes: the best combinations that a member can buy at present.
//!
//! A quote reserves nothing and is not stored. It is computed from the database for one member, and never
//! cached: another member has other own offers. A purchase prices the quoted offers again.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU16;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};
use sqlx::AnyConnection;

use super::greedy::greedy;
use super::offers::{Candidate, Combination, Nearest, PriceOverflow, Request, UNITS_MAX};
use super::repo::{self, Eligible, Shown, Without};
use super::solve::solve;
use crate::db::{Db, DbError};
use crate::products::Sale;

/// How long the offers of a quote are valid at least.
const QUOTE_KEPT: Duration = Duration::from_secs(60);

/// How many of the cheapest offers are read in addition: the first site's hundred.
const CHEAPEST_READ: usize = 100;

/// The same for a request with a largest number of sellers, whose best combinations may consist of dearer
/// offers. In a market of more offers the answer is the best of these and of the cheapest of each size.
const CHEAPEST_READ_FEW_SELLERS: usize = 2_000;

/// Whether more than the requested amount is acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Surplus {
    /// Exactly the amount.
    #[default]
    Refused,
    /// As much as the member may still buy this month.
    Accepted,
}

/// The conditions of a quote. By default: exactly the amount, of any number of sellers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Whether more is acceptable.
    pub surplus: Surplus,
    /// The largest number of sellers.
    pub sellers_max: Option<NonZeroU16>,
}

/// Why there is no quote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// No amount.
    #[error("not an amount of data")]
    Amount,
    /// More than the member may still buy this month.
    #[error("more than the member may buy this month")]
    Limit,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for QuoteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<PriceOverflow> for QuoteError {
    fn from(error: PriceOverflow) -> Self {
        // CHECKs bound the prices.
        Self::Db(DbError::Defect(error.to_string()))
    }
}

/// An answer to a member who wants an amount.
#[derive(Clone, Debug)]
pub struct Quote {
    /// The best combinations, best first.
    pub combinations: Vec<QuotedCombination>,
    /// The combination that the first site would have chosen.
    pub greedy: Option<QuotedCombination>,
    /// Without a combination: the amounts next to the requested one that have one.
    pub nearest: Nearest,
    /// The offers are valid at least until then.
    pub expires_at: UnixMillis,
}

/// A combination with what a buyer sees of its offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedCombination {
    /// A digest of products, amounts and prices: equal for equal combinations at equal prices.
    pub id: String,
    /// The sum of the amounts.
    pub units: Units,
    /// The sum of the prices.
    pub price: Won,
    /// The parts by product id.
    pub parts: Vec<QuotedPart>,
}

/// A part of a quoted combination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotedPart {
    /// The product; its item has the same id.
    pub product: ProductId,
    /// The seller's name.
    pub member_name: String,
    /// URL of the seller's picture.
    pub member_image: Option<String>,
    /// The amount in this combination.
    pub units: Units,
    /// The price of this amount.
    pub price: Won,
    /// What is left of the offer.
    pub left: Units,
    /// The price of all that is left.
    pub price_of_all: Won,
    /// The price of 0.1 GB.
    pub unit_price: Won,
    /// Whether it is sold whole or in parts.
    pub sale: Sale,
    /// The time of the last change.
    pub updated_at: LocalDateTime,
}

/// The optimizer over the offers of a database. Clones share one state.
#[derive(Clone, Debug)]
pub struct Scrap {
    db: Db,
}

impl Scrap {
    /// The optimizer over the offers of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The best combinations of others' offers for an amount, without those that are hidden from the buyer.
    /// Without any, the amounts next to it.
    ///
    /// # Errors
    /// [`QuoteError::Amount`] for zero; [`QuoteError::Limit`] if the amount and what the buyer has bought this
    /// month exceed the month's limit; the database's.
    pub async fn quote(
        &self,
        buyer: MemberId,
        units: Units,
        conditions: Conditions,
    ) -> Result<Quote, QuoteError> {
        let now = self.db.now();
        let month = LocalDateTime::from_unix(now).month();
        let mut connection = self.db.read().await?;
        let found = repo::buyer(&mut connection, buyer, month).await?;
        let eligible = Eligible {
            month,
            until: now.saturating_add(QUOTE_KEPT),
            buyer,
            without: found.without,
        };
        let limit = Units::new(UNITS_MAX).checked_sub(found.bought);
        let request = request(units, limit.unwrap_or(Units::ZERO), conditions)?;
        let few_sellers = conditions.sellers_max.is_some();
        let limit = if few_sellers {
            CHEAPEST_READ_FEW_SELLERS
        } else {
            CHEAPEST_READ
        };
        let mut offers = candidates(&mut connection, eligible, limit).await?;
        let mut seen = HashSet::with_capacity(offers.len());
        offers.retain(|offer| seen.insert(offer.product));
        let solution = solve(&offers, &request)?;
        let first_site = greedy(&offers, units);
        let products = solution.combinations.iter().chain(&first_site);
        let products: HashSet<_> = products
            .flat_map(|found| found.parts.iter().map(|part| part.product))
            .collect();
        let products: Vec<_> = products.into_iter().collect();
        let view = View {
            shown: repo::shown(&mut connection, &products)
                .await?
                .into_iter()
                .collect(),
            offers: offers.iter().map(|offer| (offer.product, offer)).collect(),
        };
        let combinations = solution.combinations.iter().map(|one| view.of(one));
        Ok(Quote {
            combinations: combinations.collect::<Result<_, _>>()?,
            greedy: first_site.map(|one| view.of(&one)).transpose()?,
            nearest: solution.nearest,
            expires_at: eligible.until,
        })
    }
}

/// The offers of which the best combinations consist. Almost always none of them is hidden, so hidden ones are
/// left out in a second read.
async fn candidates(
    connection: &mut AnyConnection,
    eligible: Eligible,
    limit: usize,
) -> Result<Vec<Candidate>, QuoteError> {
    let without = match eligible.without {
        Without::Nobody => [Without::Nobody, Without::Blocked],
        Without::Blocked | Without::Separated => [eligible.without; 2],
    };
    for without in without {
        let eligible = Eligible {
            without,
            ..eligible
        };
        let Some(mut offers) = repo::cheapest_of_each_size(connection, eligible).await? else {
            continue;
        };
        if let Some(cheapest) = repo::cheapest(connection, eligible, limit).await? {
            offers.extend(cheapest);
            return Ok(offers);
        }
    }
    // A statement that leaves out blocked accounts finds none of them.
    Err(DbError::Defect("a hidden offer among those without".to_owned()).into())
}

fn request(units: Units, limit: Units, conditions: Conditions) -> Result<Request, QuoteError> {
    if units == Units::ZERO {
        return Err(QuoteError::Amount);
    }
    let mut request = Request::exactly(units, limit).ok_or(QuoteError::Limit)?;
    if conditions.surplus == Surplus::Accepted {
        request = request.or_up_to(Units::MAX);
    }
    if let Some(sellers) = conditions.sellers_max {
        request = request.from_sellers(sellers);
    }
    Ok(request)
}

/// The offers of a quote by product.
struct View<'a> {
    offers: HashMap<ProductId, &'a Candidate>,
    shown: HashMap<ProductId, Shown>,
}

impl View<'_> {
    fn of(&self, found: &Combination) -> Result<QuotedCombination, DbError> {
        let part = |part: &super::offers::Part| {
            let offer = self.offers.get(&part.product)?;
            let shown = self.shown.get(&part.product)?.clone();
            Some(QuotedPart {
                product: part.product,
                member_name: shown.member_name,
                member_image: shown.member_image,
                units: part.units,
                price: part.price,
                left: offer.units,
                price_of_all: offer.price_of_all()?,
                unit_price: offer.unit_price()?,
                sale: offer.sale,
                updated_at: shown.updated_at,
            })
        };
        let parts: Option<Vec<_>> = found.parts.iter().map(part).collect();
        Ok(QuotedCombination {
            id: digest(found),
            units: found.units,
            price: found.price,
            parts: parts.ok_or_else(|| DbError::Defect("an offer without a seller".to_owned()))?,
        })
    }
}

/// Length of a quote's id in bytes. Nothing secret depends on it; two quotes of a member shall only differ.
const ID_BYTES: usize = 12;

fn digest(found: &Combination) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for part in &found.parts {
        context.update(&part.product.get().to_be_bytes());
        context.update(&part.units.get().to_be_bytes());
        context.update(&part.price.get().to_be_bytes());
    }
    let digest = context.finish();
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..ID_BYTES])
}
