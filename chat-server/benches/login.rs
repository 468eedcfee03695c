//! The check of a member's token: at the first login with it, and at later ones.

use std::sync::Arc;

use chat_server::auth::{Authenticator, KeySource};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use shared::claims::{
    FamilyId, MemberGrant, MemberToken, Role, Signer, TokenId, TokenScope, generate_key,
};
use shared::clock::{Clock, SystemClock};
use shared::config::Secret;
use shared::ids::MemberId;
use shared::web::Credentials;
use tokio::runtime::Runtime;

fn scope() -> TokenScope {
    TokenScope {
        issuer: "market".to_owned(),
        audience: "dapanda".to_owned(),
    }
}

/// A login with a token of its own.
fn login(signer: &Signer) -> Credentials {
    let mut rng = rand::rng();
    let grant = MemberGrant {
        member: MemberId::try_from(7_u64).expect("not zero"),
        role: Role::Member,
        token: MemberToken::Access,
        family: FamilyId::random(&mut rng),
        token_id: TokenId::random(&mut rng),
    };
    let token = signer.member_token(grant, SystemClock.unix_millis());
    let token: Secret<String> = token.expect("the key signs");
    Credentials {
        bearer: Some(token),
        ..Credentials::default()
    }
}

fn logins(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let key = generate_key().expect("a key").private_pem;
    let signer = Signer::from_pem(&key, scope()).expect("a key of P-256");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    let jwks = serde_json::json!({ "keys": [signer.public_key()] });
    std::fs::write(&path, jwks.to_string()).expect("a file");
    let opened = Authenticator::open(KeySource::File(path), scope(), Arc::new(SystemClock));
    let auth = runtime.block_on(opened).expect("the key is good");
    let check = |credentials: &Credentials| {
        let member = runtime.block_on(auth.member(credentials));
        member.expect("the token is good")
    };
    criterion.bench_function("token/first-login", |bencher| {
        bencher.iter_batched_ref(
            || login(&signer),
            |credentials| check(credentials),
            BatchSize::SmallInput,
        );
    });
    let again = login(&signer);
    criterion.bench_function("token/again", |bencher| bencher.iter(|| check(&again)));
}

criterion_group!(benches, logins);
criterion_main!(benches);
