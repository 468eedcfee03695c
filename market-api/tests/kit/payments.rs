//! Operators' commands about payments, beside the servers.

use std::process::{Output, Stdio};
use std::sync::Arc;

use market_api::admin;
use market_api::db::{Abort, DbUrl};
use market_api::payments::operate::{OperateError, Target};
use market_api::payments::{Payments, PaymentsParts};
use sqlx::{Row as _, query};
use tokio::process::Command;

use crate::on_both;
use crate::support::{Base, NOON_MS, On, crowd, open};

on_both!(
    operator_lists_what_is_open_and_what_needs_attention,
    operator_sees_everything_about_an_item,
    recheck_makes_items_due_and_is_recorded,
    recheck_of_an_unknown_item_changes_nothing,
    recheck_of_all_open_items_makes_them_due,
    acknowledged_items_need_no_attention,
    audit_log_is_append_only,
);

const HOUR_MS: i64 = 60 * 60 * 1_000;

/// What an attacker would have printed.
const FORGED: &str = "X\ncharge 99 order=forged state=CAPTURED \u{1b}[2J";

/// The command's exit code, lines of output, and all of it.
async fn operate(base: &Base, args: &[&str]) -> (Option<i32>, Vec<String>, Output) {
    let url = match &base.url {
        DbUrl::Postgres(url) => url.expose().clone(),
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    let mut program = Command::new(env!("CARGO_BIN_EXE_market-api"));
    program.arg("payments").args(args).args(["--db", &url]);
    program.stdin(Stdio::null()).kill_on_drop(true);
    let output = program.output().await.unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let lines = text.lines().map(str::to_owned).collect();
    (output.status.code(), lines, output)
}

async fn sql(base: &Base, texts: Vec<String>) {
    let done = base.db.write(texts, |texts, tx| {
        Box::pin(async move {
            for text in texts {
                query(sqlx::AssertSqlSafe(text.clone()))
                    .execute(tx.connection())
                    .await?;
            }
            Ok::<_, Abort<()>>(())
        })
    });
    done.await.unwrap();
}

async fn number(base: &Base, text: &str) -> Option<i64> {
    let mut connection = base.db.read().await.unwrap();
    let row = query(sqlx::AssertSqlSafe(text.to_owned())).fetch_one(&mut *connection);
    row.await.unwrap().try_get(0).unwrap()
}

/// Two members with a charge in each state that matters, a refund with legs, payments in suspense, a difference.
async fn stage(on: On) -> Base {
    let base = open(on).await;
    let mut texts = crowd(1, 2, 0);
    let (now, later) = (NOON_MS, NOON_MS + HOUR_MS);
    let day_ago = NOON_MS - 25 * HOUR_MS;
    let charge = |id: i64, order: &str, member: i64, state: &str, rest: &str| {
        format!(
            "insert into charge (id, order_id, member_id, amount, state, created_at, confirmed_at, next_check_at, \
             last_code, needs_attention) values ({id}, '{order}', {member}, 5000, '{state}', {rest})"
        )
    };
    texts.extend([
        charge(1, "order-1", 1, "UNKNOWN", &format!("{day_ago}, {day_ago}, {later}, '{FORGED}', 1")),
        charge(2, "order-2", 2, "WAITING", &format!("{now}, {now}, {later}, 'WAITING_FOR_DEPOSIT', 0")),
        charge(3, "order-3", 1, "CREATED", &format!("{now}, null, null, null, 0")),
        charge(4, "order-4", 1, "MISMATCH", &format!("{now}, {now}, null, 'AMOUNT', 1")),
        charge(5, "order-5", 2, "MISMATCH", &format!("{now}, {now}, null, 'AMOUNT', 1")),
        "insert into payment_key (key, charge_id) values ('payment-1', 1)".to_owned(),
        format!(
            "insert into suspense_payment (id, payment_key, order_id, charge_id, captured, canceled, next_check_at, \
             created_at) values (1, 'payment-4', 'order-4', 4, 900, 900, null, {now}), \
             (2, 'payment-5', 'order-5', 5, 900, 0, {later}, {now}), (3, 'payment-9', 'order-9', null, 70, 0, null, {now})"
        ),
        format!(
            "insert into trade (id, member_id, kind, price, fee, charged, earned, month, created_at) \
             values (1, 1, 'REFUND', 700, 0, 0, 0, 202611, {now}), (2, 1, 'REFUND', 800, 0, 0, 0, 202611, {now})"
        ),
        format!(
            "insert into refund (id, member_id, request_id, amount, charged, earned, remain_cash, state, trade_id, \
             next_check_at, created_at) values (1, 1, 'r-1', 700, 600, 100, 0, 'OPEN', 1, {later}, {now}), \
             (2, 1, 'r-2', 800, 800, 0, 0, 'DONE', 2, null, {now})"
        ),
        format!(
            "insert into refund_leg (id, refund_id, n, kind, bucket, charge_id, amount, state, last_code, sends, \
             sent_at, created_at) values (1, 1, 1, 'CANCEL', 'CHARGED', 1, 600, 'UNKNOWN', 'TIMEOUT', 2, {now}, {now}), \
             (2, 1, 2, 'PAYOUT', 'EARNED', null, 100, 'DONE', null, 1, {now}, {now})"
        ),
        "insert into journal (id, kind, ref_id, created_at) values (50, 'refund', 1, 1)".to_owned(),
        "insert into posting (journal_id, line, account, owner, amount) values (50, 0, 'wallet_charged', 1, 700), \
         (50, 1, 'in_transit', 1, -700)"
            .to_owned(),
        format!(
            "insert into gateway_difference (id, kind, reference, order_id, ours, theirs, found_at, resolved_at) \
             values (1, 'AMOUNT', 'transaction-1', 'order-1', 5000, 4000, {now}, null), \
             (2, 'AMOUNT', 'transaction-2', 'order-2', 1, 2, {now}, {now})"
        ),
        format!(
            "insert into webhook (received_at, kind, order_id, payment_key, body) \
             values ({now}, '{FORGED}', 'order-1', null, '{{\"a\": \"{FORGED}\"}}'), \
             ({now}, 'PAYMENT_STATUS_CHANGED', null, 'payment-1', '{{}}')"
        ),
    ]);
    sql(&base, texts).await;
    base
}

/// The first two words of each line.
fn items(lines: &[String]) -> Vec<String> {
    let item = |line: &String| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    lines.iter().map(item).collect()
}

async fn operator_lists_what_is_open_and_what_needs_attention(on: On) {
    let base = stage(on).await;
    let (code, lines, output) = operate(&base, &["list"]).await;
    assert_eq!(code, Some(0), "{output:?}");
    let expected = [
        "charge 1",
        "charge 5",
        "charge 2",
        "refund 1",
        "leg 1",
        "suspense 2",
        "suspense 3",
        "difference 1",
    ];
    let (counts, listed) = lines.split_last().unwrap();
    assert_eq!(items(listed), expected);
    assert_eq!(
        counts,
        "charge: 3, refund: 1, leg: 1, suspense: 2, difference: 1"
    );
    let start = "charge 1 order=order-1 member=1 amount=5000 state=UNKNOWN attention=yes age=";
    let end = r#" checks=0 next_check=2026-11-15T13:00:00.000 code="X\ncharge 99 order=forged state=CAPTURED \u{1b}[2J""#;
    assert!(
        lines[0].starts_with(start) && lines[0].ends_with(end),
        "{}",
        lines[0]
    );
    assert!(
        lines[4]
            .starts_with("leg 1 refund=1 n=1 kind=CANCEL charge=1 amount=600 state=UNKNOWN age=")
    );
    assert!(lines[6].starts_with("suspense 3 order=order-9 charge=- captured=70 canceled=0 age="));

    let listed = async |args: &[&str]| {
        let (code, lines, output) = operate(&base, &[&["list"], args].concat()).await;
        assert_eq!(code, Some(0), "{output:?}");
        items(&lines)
    };
    let of_member = ["charge 5", "charge 2", "suspense 2", "charge: 2,"];
    assert_eq!(listed(&["--member=2"]).await, of_member);
    let mismatches = ["charge 5", "charge 4", "charge: 2"];
    assert_eq!(listed(&["--state=mismatch"]).await, mismatches);
    let (_, lines, _) = operate(&base, &["list", "--limit=1"]).await;
    let counts = "charge: 1 or more, refund: 1, leg: 1, suspense: 1 or more, difference: 1";
    assert_eq!(lines.last().unwrap(), counts);
    for wrong in ["--limit=0", "--limit=1001", "--state=DONE", "--member=0"] {
        let (code, _, output) = operate(&base, &["list", wrong]).await;
        assert_eq!(code, Some(64), "{wrong} {output:?}");
    }
}

async fn operator_sees_everything_about_an_item(on: On) {
    let base = stage(on).await;
    let show = async |item: &str| {
        let (code, lines, output) = operate(&base, &["show", item]).await;
        assert_eq!(code, Some(0), "{output:?}");
        lines
    };
    let lines = show("order-1").await;
    let expected = [
        "charge 1",
        "key 1",
        "leg 1",
        "difference 1",
        "webhook 1",
        "webhook 2",
    ];
    assert_eq!(items(&lines), expected);
    let forged = r#"\ncharge 99 order=forged"#;
    assert!(lines[4].contains(forged), "{}", lines[4]);
    assert_eq!(show("charge:1").await, lines);
    let lines = show("refund:1").await;
    let expected = [
        "refund 1",
        "trade 1",
        "leg 1",
        "leg 2",
        "posting 50",
        "posting 50",
    ];
    assert_eq!(items(&lines), expected);
    let line = "posting 50 line=1 journal=refund ref=1 account=in_transit owner=1 amount=-700 at=1970-01-01T09:00:00.001";
    assert_eq!(lines[5], line);
    assert_eq!(items(&show("order-5").await), ["charge 5", "suspense 2"]);
    assert_eq!(items(&show("order-9").await), ["suspense 3"]);
    assert_eq!(items(&show("suspense:3").await), ["suspense 3"]);
    for unknown in [
        "order-77",
        "charge:77",
        "refund:18446744073709551615",
        "suspense:0",
    ] {
        let (code, lines, output) = operate(&base, &["show", unknown]).await;
        assert_eq!((code, lines.len()), (Some(1), 0), "{output:?}");
    }
    let (code, _, output) = operate(&base, &["show", "trade:1"]).await;
    assert_eq!(code, Some(64), "{output:?}");
}

async fn recheck_makes_items_due_and_is_recorded(on: On) {
    let base = stage(on).await;
    let args = [
        "recheck",
        "order-5",
        "order-1",
        "refund:1",
        "refund:2",
        "suspense:1",
        "charge:1",
    ];
    let (code, lines, output) = operate(&base, &args).await;
    assert_eq!(code, Some(0), "{output:?}");
    assert_eq!(
        lines,
        [
            "charge:1 UNKNOWN is checked now",
            "charge:5 MISMATCH is checked now",
            "refund:1 OPEN is checked now",
            "refund:2 DONE is settled; nothing was changed",
            "suspense:1 DONE is settled; nothing was changed",
            "suspense:2 OPEN is checked now",
        ]
    );
    let log = String::from_utf8(output.stderr).unwrap();
    let noted = log.lines().filter(|line| line.contains("payments recheck"));
    assert_eq!(noted.count(), 6, "{log}");
    let noted = "select count(*) from audit where actor_id = 0 and action = 'payments.recheck' \
        and target in ('charge:1', 'charge:5', 'refund:1', 'suspense:2')";
    assert_eq!(number(&base, noted).await, Some(4));
    assert_eq!(number(&base, "select count(*) from audit").await, Some(4));
    let unchanged = "select count(*) from refund where next_check_at is null";
    assert_eq!(number(&base, unchanged).await, Some(1));
}

async fn recheck_of_an_unknown_item_changes_nothing(on: On) {
    let base = stage(on).await;
    let (code, lines, output) = operate(&base, &["recheck", "order-1", "order-77"]).await;
    assert_eq!((code, lines.len()), (Some(1), 0), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        why.contains("unknown: order order-77; nothing was changed"),
        "{why}"
    );
    let next = "select next_check_at from charge where id = 1";
    assert_eq!(number(&base, next).await, Some(NOON_MS + HOUR_MS));
    assert_eq!(number(&base, "select count(*) from audit").await, Some(0));
    for wrong in [
        &["recheck"][..],
        &["recheck", "order-1", "--all-open"],
        &["recheck", "a b"],
    ] {
        let (code, _, output) = operate(&base, wrong).await;
        assert_eq!(code, Some(64), "{output:?}");
    }
}

/// The reconciler of a server on the same database takes them.
async fn recheck_of_all_open_items_makes_them_due(on: On) {
    let base = stage(on).await;
    let payments = Payments::new(PaymentsParts {
        db: base.db.clone(),
        gateway: None,
        payouts: None,
        metrics: Arc::clone(&base.metrics),
        drain: base.drain.clone(),
    });
    assert_eq!(payments.run_due().await, Ok(0));
    let due = admin::recheck_open(&base.db).await.unwrap();
    let counts = "checked now: charges: 2, refunds: 1, payments in suspense: 1";
    assert_eq!(due.to_string(), counts);
    assert_eq!(payments.run_due().await, Ok(4));
    assert_eq!(payments.run_due().await, Ok(0), "each is leased");
    let order: Target = "order-3".parse().unwrap();
    admin::recheck(&base.db, vec![order]).await.unwrap();
    assert_eq!(payments.run_due().await, Ok(1));
    let order: Target = "order-77".parse().unwrap();
    let refused = admin::recheck(&base.db, vec![order.clone()]).await;
    assert_eq!(refused, Err(OperateError::Unknown(order)));
}

async fn acknowledged_items_need_no_attention(on: On) {
    let base = stage(on).await;
    let marked = "select (select count(*) from charge where needs_attention = 1) \
        + (select count(*) from suspense_payment where needs_attention = 1)";
    let before = number(&base, marked).await.unwrap();
    let (code, lines, output) = operate(&base, &["acknowledge", "order-1", "order-77"]).await;
    assert_eq!((code, lines.len()), (Some(1), 0), "{output:?}");
    assert_eq!(number(&base, marked).await, Some(before));
    let args = ["acknowledge", "order-1", "suspense:3", "refund:1"];
    let (code, lines, output) = operate(&base, &args).await;
    assert_eq!(code, Some(0), "{output:?}");
    assert_eq!(
        lines,
        [
            "charge:1 is acknowledged",
            "refund:1 needs no attention; nothing was changed",
            "suspense:3 is acknowledged",
        ]
    );
    assert_eq!(number(&base, marked).await, Some(before - 2));
    let noted = "select count(*) from audit where action = 'payments.acknowledge'";
    assert_eq!(number(&base, noted).await, Some(2));
    // A charge without an outcome stays open; another environment's payment is not listed any more.
    let (_, lines, _) = operate(&base, &["list"]).await;
    let listed = items(&lines);
    assert!(listed.contains(&"charge 1".to_owned()), "{listed:?}");
    assert!(!listed.contains(&"suspense 3".to_owned()), "{listed:?}");
}

async fn audit_log_is_append_only(on: On) {
    let base = stage(on).await;
    let order: Target = "order-1".parse().unwrap();
    admin::recheck(&base.db, vec![order]).await.unwrap();
    for change in ["update audit set actor_id = 7", "delete from audit"] {
        let changed = base.db.write(change, |change, tx| {
            Box::pin(async move {
                query(*change).execute(tx.connection()).await?;
                Ok::<_, Abort<()>>(())
            })
        });
        assert!(changed.await.is_err(), "{change}");
    }
    let kept = "select count(*) from audit where actor_id = 0";
    assert_eq!(number(&base, kept).await, Some(1));
}
