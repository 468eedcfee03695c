//! Sales that are not folded into their seller's wallet yet.

use std::convert::Infallible;

use market_api::cash::{self, Account, Cash, JournalKind, Posting};
use market_api::db::{Abort, Tx};
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::shop::Shop;
use crate::support::On;

on_both!(many_credits_are_folded_and_few_are_left);

/// One sale of a won for each reference.
async fn sell_in(
    seller: i64,
    references: std::ops::Range<i64>,
    tx: &mut Tx<'_>,
) -> Result<(), Abort<Infallible>> {
    for reference in references {
        let postings = [
            Posting::debit(Account::Opening, Won::new(1)),
            Posting::credit(Account::WalletEarned(member(seller)), Won::new(1))?,
        ];
        let journal = cash::post_in(tx, JournalKind::Opening, reference, &postings).await?;
        cash::credit_in(tx, journal.unwrap(), member(seller), Won::new(1)).await?;
    }
    Ok(())
}

async fn many_credits_are_folded_and_few_are_left(on: On) {
    let shop = Shop::open(on).await;
    shop.market.members(2, 10).await;
    for (seller, references) in [(1, 1_000..1_101), (2, 2_000..2_100)] {
        let sold = shop
            .market
            .base
            .db
            .write((seller, references), |(seller, references), tx| {
                Box::pin(sell_in(*seller, references.clone(), tx))
            });
        sold.await.unwrap();
    }
    Cash::new(shop.market.base.db.clone())
        .fold_many()
        .await
        .unwrap();
    let open = async |id| {
        let text = format!("select count(*) from credit where folded = 0 and member_id = {id}");
        shop.market.int(&text).await
    };
    assert_eq!((open(1).await, open(2).await), (0, 100));
    assert_eq!((shop.cash(1).await, shop.cash(2).await), (101, 100));
    shop.verify().await;
}
