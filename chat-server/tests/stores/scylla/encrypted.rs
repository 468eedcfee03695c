//! The store over TLS, which ends just before the server: with the right authority, and with another.

use std::net::SocketAddr;
use std::sync::Arc;

use chat_server::store::Append;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{append, connect, servers, settings, why_it_does_not_start};
use crate::certificates::{Signed, signed};
use crate::contract::make::fresh_topic;

#[tokio::test]
async fn store_is_used_over_tls() {
    let ours = signed();
    let (address, _accepting) = encrypt(&ours).await;
    let mut settings = settings();
    settings.address.hosts = vec![address.to_string()];
    settings.ca = Some(ours.authority.clone());
    let store = connect(&settings).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 1).await, Append::Applied);
}

#[tokio::test]
async fn servers_that_another_authority_signed_are_not_talked_to() {
    let (ours, others) = (signed(), signed());
    let (address, _accepting) = encrypt(&others).await;
    let mut settings = settings();
    settings.address.hosts = vec![address.to_string()];
    settings.ca = Some(ours.authority.clone());
    let why = why_it_does_not_start(&settings).await;
    assert!(why.contains("certificate"), "{why}");
}

/// A way to the first server that speaks TLS with this certificate; it ends with the set.
async fn encrypt(signed: &Signed) -> (SocketAddr, JoinSet<()>) {
    let certificate = CertificateDer::from_pem_file(&signed.certificate).unwrap();
    let key = PrivateKeyDer::from_pem_file(&signed.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server: SocketAddr = servers().split(',').next().unwrap().parse().unwrap();
    let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                // Who does not trust us ends it.
                let Ok(mut client) = acceptor.accept(client).await else {
                    return;
                };
                let mut server = TcpStream::connect(server).await.unwrap();
                drop(copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (address, accepting)
}
