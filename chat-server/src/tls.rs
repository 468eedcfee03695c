//! Trusted certificate authorities of encrypted connections to the store and the bus.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Certificates in the file of authorities at most.
const CERTIFICATES_MAX: usize = 256;

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authorities in {path}: {why}")]
pub struct BadAuthorities {
    path: String,
    why: String,
}

/// Trusts servers whose certificate is signed by one of the file (PEM), and no others.
///
/// # Errors
/// The file cannot be read, or has no certificate, or one that is none.
pub fn trusting(path: &Path) -> Result<ClientConfig, BadAuthorities> {
    let cannot = |why: String| BadAuthorities {
        path: path.display().to_string(),
        why,
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path);
    let certificates = certificates.map_err(|error| cannot(error.to_string()))?;
    for certificate in certificates.take(CERTIFICATES_MAX) {
        let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| cannot(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(cannot("no certificate in it".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| cannot(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        trusting(&path).expect_err("no file");
        std::fs::write(&path, "nothing").unwrap();
        let why = trusting(&path).expect_err("no certificate").to_string();
        assert!(
            why.contains("ca.pem") && why.contains("no certificate"),
            "{why}"
        );
    }
}
