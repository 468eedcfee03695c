//! Independent solutions of the optimizer's problem: all sets, all subsets, all partitions. Slow, and so simple that
//! they can be read.

use market_api::products::Sale;
use market_api::scrap::Candidate;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId};

/// An offer in plain numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) id: i64,
    pub(crate) seller: i64,
    pub(crate) units: u16,
    /// Of a whole offer for all units, of a split one for each.
    pub(crate) price: i64,
    pub(crate) split: bool,
    pub(crate) expires_at: i64,
}

impl Offer {
    /// The columns of [`Self::row`].
    pub(crate) const COLUMNS: &str = "id, member_id, kind, state, price, unit_price, split, units_listed, \
         units_left, units_sold, units_returned, month, expires_at, created_at, updated_at";

    /// The offer as a row of `product`, in November 2026.
    pub(crate) fn row(self) -> String {
        let Self {
            id,
            seller,
            units,
            price,
            split,
            expires_at,
        } = self;
        let (total, unit_price) = match split {
            true => (price * i64::from(units), price),
            false => (price, (price + i64::from(units) - 1) / i64::from(units)),
        };
        format!(
            "({id}, {seller}, 'MOBILE_DATA', 'ACTIVE', {total}, {unit_price}, {}, {units}, {units}, 0, 0, 202611, \
             {expires_at}, 1, 1)",
            i64::from(split)
        )
    }

    pub(crate) fn candidate(self) -> Candidate {
        Candidate {
            product: ProductId::try_from(self.id).unwrap(),
            seller: MemberId::try_from(self.seller).unwrap(),
            units: shared::money::Units::new(self.units),
            price: shared::money::Won::new(self.price),
            sale: if self.split { Sale::Split } else { Sale::Whole },
            expires_at: UnixMillis::try_from(self.expires_at).unwrap(),
        }
    }
}

/// A set of parts and its rank: compared field by field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ranked {
    pub(crate) price: i64,
    pub(crate) offers: usize,
    pub(crate) surplus: u16,
    /// Expiry and product of each part, ascending.
    pub(crate) products: Vec<(i64, i64)>,
    /// Their units.
    pub(crate) amounts: Vec<u16>,
}

/// Every set of parts with `from` to `to` units of at most so many sellers, best first.
pub(crate) fn all_sets(offers: &[Offer], from: u16, to: u16, sellers_max: usize) -> Vec<Ranked> {
    let mut found = Vec::new();
    extend(offers, to, &mut Vec::new(), &mut |parts| {
        let units: u16 = parts.iter().map(|(_, units)| units).sum();
        let mut sellers: Vec<_> = parts.iter().map(|(offer, _)| offer.seller).collect();
        sellers.sort_unstable();
        sellers.dedup();
        if units < from || sellers.len() > sellers_max {
            return;
        }
        let paid = |(offer, units): &(Offer, u16)| match offer.split {
            true => offer.price * i64::from(*units),
            false => offer.price,
        };
        let mut parts = parts.to_vec();
        parts.sort_by_key(|(offer, _)| (offer.expires_at, offer.id));
        found.push(Ranked {
            price: parts.iter().map(paid).sum(),
            offers: parts.len(),
            surplus: units - from,
            products: parts
                .iter()
                .map(|(offer, _)| (offer.expires_at, offer.id))
                .collect(),
            amounts: parts.iter().map(|(_, units)| *units).collect(),
        });
    });
    found.sort_unstable();
    found
}

fn extend(
    offers: &[Offer],
    room: u16,
    parts: &mut Vec<(Offer, u16)>,
    found: &mut impl FnMut(&[(Offer, u16)]),
) {
    let Some((offer, rest)) = offers.split_first() else {
        return found(parts);
    };
    extend(rest, room, parts, found);
    let choices = if offer.split {
        1..=offer.units
    } else {
        offer.units..=offer.units
    };
    for units in choices.take_while(|units| *units <= room) {
        parts.push((*offer, units));
        extend(rest, room - units, parts, found);
        parts.pop();
    }
}

/// The prices of the cheapest 0, 1, 2, … units of split offers.
fn split_prices(offers: &[Offer], units: u16) -> Vec<i64> {
    let split = offers.iter().filter(|offer| offer.split);
    let each = split.flat_map(|offer| std::iter::repeat_n(offer.price, offer.units.into()));
    let mut each: Vec<i64> = each.collect();
    each.sort_unstable();
    each.truncate(units.into());
    prefix_sums(each)
}

fn prefix_sums(prices: Vec<i64>) -> Vec<i64> {
    let sums = prices.into_iter().scan(0, |sum, price| {
        *sum += price;
        Some(*sum)
    });
    std::iter::once(0).chain(sums).collect()
}

/// The lowest price of exactly so many units, by all subsets of the whole offers.
pub(crate) fn by_subsets(offers: &[Offer], units: u16) -> Option<i64> {
    let whole: Vec<_> = offers.iter().filter(|offer| !offer.split).collect();
    let split = split_prices(offers, units);
    let subsets = (0_u32..1 << whole.len()).filter_map(|subset| {
        let mut left = units;
        let mut price = 0;
        for (bit, offer) in whole.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                left = left.checked_sub(offer.units)?;
                price += offer.price;
            }
        }
        Some(price + split.get(usize::from(left))?)
    });
    subsets.min()
}

/// A partition: how often each size occurs; sizes with 0 are left out.
pub(crate) type Partition = Vec<(u16, usize)>;

/// All partitions of a number into sizes.
pub(crate) fn partitions(number: u16, size_max: u16) -> Vec<Partition> {
    if number == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for size in 1..=size_max.min(number) {
        for count in 1..=number / size {
            for mut rest in partitions(number - count * size, size - 1) {
                rest.push((size, count.into()));
                all.push(rest);
            }
        }
    }
    all
}

/// The lowest price of exactly so many units: each partition takes the cheapest whole offers of its sizes, and split
/// units for the rest.
pub(crate) fn by_partitions(
    offers: &[Offer],
    units: u16,
    partitions: &[Vec<Partition>],
) -> Option<i64> {
    let split = split_prices(offers, units);
    let of_size = |size: u16| {
        let whole = offers
            .iter()
            .filter(|offer| !offer.split && offer.units == size);
        let mut prices: Vec<_> = whole.map(|offer| offer.price).collect();
        prices.sort_unstable();
        prefix_sums(prices)
    };
    let sizes: Vec<_> = (0..=units).map(of_size).collect();
    let mut best: Option<i64> = None;
    for whole in 0..=units {
        let Some(rest) = split.get(usize::from(units - whole)) else {
            continue;
        };
        for partition in &partitions[usize::from(whole)] {
            let price = partition.iter().try_fold(*rest, |price, (size, count)| {
                Some(price + sizes[usize::from(*size)].get(*count)?)
            });
            best = [best, price].into_iter().flatten().min();
        }
    }
    best
}
