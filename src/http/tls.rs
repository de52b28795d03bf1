//! What TLS is made with: the authorities that are trusted, and the certificate this client shows.
//!
//! Files are read once, when they are first needed; a file that is replaced is read by the next start. The verifier is
//! the usual one (that of rustls, with the system's authorities), but for two things: it tells who issued a certificate that it
//! refuses, and a certificate that stands in the CA bundle itself is accepted as it is, as curl and OpenSSL do.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, InconsistentKeys, OtherError, RootCertStore, SignatureScheme,
};
use zeroize::Zeroizing;

use super::certificate::{Certificate, Distrust, Refused};
use super::{HttpError, Network};

/// The largest file that is read; the system's own bundle of all authorities is 0.2 MiB.
const MOST_BYTES: u64 = 16 << 20;

/// What TLS is made with, as a network's settings say it.
#[derive(Debug)]
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    /// The certificates of the CA bundle.
    bundle: Vec<CertificateDer<'static>>,
    identity: Option<Arc<CertifiedKey>>,
    /// Reading the system's takes milliseconds.
    verifier: OnceLock<Result<Arc<Verifier>, HttpError>>,
    /// A server has asked for a client certificate.
    asked: Arc<AtomicBool>,
}

impl Tls {
    /// Reads the files that `network` names.
    pub(super) fn read(network: &Network) -> Result<Self, HttpError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let bundle = match &network.ca_bundle {
            Some(path) => read_bundle(&PemFile::read("ca_bundle (--ca-bundle)", path)?)?,
            None => Vec::new(),
        };
        let identity = read_identity(network, &provider)?;
        Ok(Self {
            provider,
            bundle,
            identity,
            verifier: OnceLock::new(),
            asked: Arc::default(),
        })
    }

    /// The configuration of a connection that offers these protocols (ALPN).
    ///
    /// A machine without any authority is an error, unless `bare` lets it through: it trusts nobody then.
    pub(super) fn config(&self, protocols: &[&str], bare: bool) -> Result<rustls::ClientConfig, HttpError> {
        let made = self.verifier.get_or_init(|| self.make_verifier());
        let verifier = match made {
            Err(_) if bare => Arc::new(self.verifier_of(RootCertStore::empty())),
            made => Arc::clone(made.as_ref().map_err(Clone::clone)?),
        };
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| HttpError::Tls(format!("TLS cannot be set up on this machine: {error}")))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(Identity {
                shown: self.identity.clone(),
                asked: Arc::clone(&self.asked),
            }));
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    /// True once a server has asked for a client certificate and there was none to show.
    pub(super) fn lacks_identity(&self) -> bool {
        self.identity.is_none() && self.asked.load(Ordering::Relaxed)
    }

    fn make_verifier(&self) -> Result<Arc<Verifier>, HttpError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.bundle.iter().cloned());
        // A damaged one among the system's is the system's affair; what counts is what remains.
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let why = system
                .errors
                .first()
                .map_or_else(String::new, |error| format!(" ({error})"));
            let text =
                format!("TLS cannot be set up on this machine: the system has no CA certificates{why}");
            return Err(HttpError::Tls(text));
        }
        Ok(Arc::new(self.verifier_of(roots)))
    }

    fn verifier_of(&self, roots: RootCertStore) -> Verifier {
        Verifier {
            roots,
            bundle: self.bundle.clone(),
            provider: Arc::clone(&self.provider),
        }
    }
}

/// A file of certificates and keys.
struct PemFile<'a> {
    /// The setting that names it, as configuration and command line call it.
    setting: &'static str,
    path: &'a Path,
    /// May hold a key.
    bytes: Zeroizing<Vec<u8>>,
}

impl<'a> PemFile<'a> {
    fn read(setting: &'static str, path: &'a Path) -> Result<Self, HttpError> {
        let mut bytes = Zeroizing::new(Vec::new());
        let read = File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        let file = Self { setting, path, bytes };
        match read {
            Ok(_) => Ok(file),
            Err(error) => Err(file.unusable(&format!("cannot be read: {error}"))),
        }
    }

    fn unusable(&self, why: &str) -> HttpError {
        HttpError::Settings(format!("{}: {} {why}", self.setting, self.path.display()))
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, HttpError> {
        let found: Vec<_> = CertificateDer::pem_slice_iter(&self.bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| self.unusable(&format!("is damaged: {}", words(&error))))?;
        if found.is_empty() {
            return Err(self.unusable(&format!("holds no certificate in PEM form{}", self.advice())));
        }
        Ok(found)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, HttpError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound if self.holds(b"ENCRYPTED PRIVATE KEY") => self.unusable(
                "holds an encrypted key, and pwfs has nobody to ask for its password; write it without one (openssl \
                 pkey -in FILE -out FILE) and let only its owner read it",
            ),
            pem::Error::NoItemsFound => {
                self.unusable(&format!("holds no private key in PEM form{}", self.advice()))
            }
            error => self.unusable(&format!("is damaged: {}", words(&error))),
        })
    }

    fn holds(&self, text: &[u8]) -> bool {
        self.bytes.windows(text.len()).any(|part| part == text)
    }

    /// DER and PKCS#12 both begin with a long SEQUENCE.
    fn advice(&self) -> &'static str {
        if self.bytes.starts_with(&[0x30, 0x82]) {
            "; it is binary (DER or PKCS#12): convert it with openssl"
        } else {
            ""
        }
    }
}

/// The library's own words show the file's bytes as numbers, of a key too.
fn words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section does not begin as it must",
        pem::Error::Base64Decode(_) => "a section is not base64",
        // The enum is open.
        _ => "it is not PEM",
    }
}

fn read_bundle(file: &PemFile<'_>) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let found = file.certificates()?;
    let (usable, ignored) = RootCertStore::empty().add_parsable_certificates(found.iter().cloned());
    if usable == 0 {
        return Err(file.unusable("holds no certificate that can be used"));
    }
    if ignored > 0 {
        tracing::warn!(
            "{}: {ignored} of its certificates cannot be used",
            file.path.display()
        );
    }
    Ok(found)
}

fn read_identity(
    network: &Network,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, HttpError> {
    const CERTIFICATE: &str = "client_certificate (--client-cert)";
    const KEY: &str = "client_key (--client-key)";
    let (shown, key) = match (&network.client_certificate, &network.client_key) {
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            let text = format!("{KEY} needs the certificate it belongs to: {CERTIFICATE} is not set");
            return Err(HttpError::Settings(text));
        }
        (Some(path), key) => {
            let shown = PemFile::read(CERTIFICATE, path)?;
            let key = match key {
                Some(path) => PemFile::read(KEY, path)?,
                // The key stands beside its certificate.
                None => PemFile::read(CERTIFICATE, path)?,
            };
            (shown, key)
        }
    };
    warn_of_readers(key.path);
    let signing = provider.key_provider.load_private_key(key.key()?);
    let signing = signing.map_err(|error| key.unusable(&format!("cannot be used: {error}")))?;
    let pair = CertifiedKey::new(shown.certificates()?, signing);
    match pair.keys_match() {
        // The library does not read certificates of version 1; the server may.
        Ok(())
        | Err(
            rustls::Error::InconsistentKeys(InconsistentKeys::Unknown) | rustls::Error::InvalidCertificate(_),
        ) => Ok(Some(Arc::new(pair))),
        Err(_) => Err(key.unusable(&format!(
            "holds another key than that of the certificate in {}",
            shown.path.display()
        ))),
    }
}

/// Says once in the life of a program that a key is open to everybody.
fn warn_of_readers(path: &Path) {
    static WARNED: Once = Once::new();
    let everybody = std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o004 != 0);
    if everybody {
        WARNED.call_once(|| {
            tracing::warn!(
                "{} holds a private key, and every user of this machine can read it: chmod o= it",
                path.display()
            );
        });
    }
}

/// What this client shows to servers that ask for a certificate.
#[derive(Debug)]
struct Identity {
    shown: Option<Arc<CertifiedKey>>,
    asked: Arc<AtomicBool>,
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.shown.clone()
    }

    fn has_certs(&self) -> bool {
        self.shown.is_some()
    }
}

/// Decides which servers are the ones they say they are.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    bundle: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// The usual rules; a certificate of the bundle itself needs nobody above it.
    fn verify(
        &self,
        shown: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(shown)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let vouched = verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, above, now, algorithms);
        match vouched {
            // Time still counts. The usual rules take no authority's certificate for a server's, and `openssl req -x509` makes
            // nothing else.
            Err(_) if self.bundle.iter().any(|known| known == shown) => is_valid_at(shown, now)?,
            vouched => vouched?,
        }
        verify_server_name(&parsed, name)
    }
}

fn is_valid_at(shown: &CertificateDer<'_>, now: UnixTime) -> Result<(), rustls::Error> {
    let certificate = Certificate::read(shown).ok_or(CertificateError::BadEncoding)?;
    let since_epoch = |moment: jiff::Timestamp| {
        let seconds = u64::try_from(moment.as_second()).unwrap_or(0);
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
    };
    let (begin, end) = (
        since_epoch(certificate.not_before),
        since_epoch(certificate.not_after),
    );
    if now < begin {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before: begin,
        }
        .into());
    }
    if now > end {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after: end,
        }
        .into());
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.verify(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(rustls::Error::InvalidCertificate(why)) => {
                let certificate = Certificate::read(end_entity);
                let alone = certificate.as_ref().is_some_and(Certificate::is_signed_by_itself);
                let refused = Refused {
                    host: server_name.to_str().into_owned(),
                    certificate,
                    why: Distrust::of(&why, alone),
                };
                Err(CertificateError::Other(OtherError(Arc::new(refused))).into())
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
