//! The short forms, on both databases.

use clap::Parser;
use shared::config::parse;

use super::{Payments, PaymentsError};

#[derive(Debug, Parser)]
struct CommandLine {
    #[command(flatten)]
    run: Payments,
}

impl shared::config::Settings for CommandLine {
    fn check(&self, _: &mut shared::config::Mistakes) {}
}

#[derive(Clone, Copy, Debug)]
enum On {
    Postgres,
    Sqlite,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a service's address is in the environment"
)]
async fn run(on: On, command: &str, more: &[&str]) -> Result<(), PaymentsError> {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display().to_string();
    let mut words = vec!["loadtest", command, "--short", "--folder", &folder];
    let server;
    if let On::Postgres = on {
        server = std::env::var("TEST_POSTGRES_URL")
            .expect("PostgreSQL for tests: infra/services up postgres, then its env file");
        words.extend(["--db", &server]);
    }
    words.extend(more);
    let line: CommandLine = parse(words).unwrap();
    line.run.run().await
}

#[tokio::test]
async fn books_equal_the_gateways_after_charges_under_faults_on_sqlite() {
    run(On::Sqlite, "charges", &[]).await.unwrap();
}

#[tokio::test]
async fn books_equal_the_gateways_after_charges_under_faults_on_postgres() {
    run(On::Postgres, "charges", &[]).await.unwrap();
}

#[tokio::test]
async fn books_equal_both_providers_after_refunds_under_faults_on_sqlite() {
    run(On::Sqlite, "refunds", &[]).await.unwrap();
}

#[tokio::test]
async fn books_equal_both_providers_after_refunds_under_faults_on_postgres() {
    run(On::Postgres, "refunds", &[]).await.unwrap();
}

#[tokio::test]
async fn run_with_an_altered_record_fails() {
    let failed = run(On::Sqlite, "refunds", &["--sabotage", "won"]).await;
    assert!(
        matches!(failed, Err(PaymentsError::Broken(_))),
        "{failed:?}"
    );
}
