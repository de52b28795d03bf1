//! The key that signs the demo's tokens: made once per process, known to nobody else, worth nothing outside.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

/// An RSA key, and how it is published.
pub(super) struct Signer {
    key: KeyPair,
    kid: String,
    modulus: String,
    exponent: String,
}

/// The process's key; made beside the server's start, or by the first caller where that comes sooner.
pub(super) fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(Signer::generate)
}

impl Signer {
    fn generate() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("2048 bits is a size the library makes");
        let (modulus, exponent) =
            numbers(key.public_key().as_ref()).expect("the library writes RSAPublicKey of RFC 8017");
        let (modulus, exponent) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        // The thumbprint of RFC 7638: these three members, in this order, without spaces.
        let members = format!("{{\"e\":\"{exponent}\",\"kty\":\"RSA\",\"n\":\"{modulus}\"}}");
        Self {
            key,
            kid: URL_SAFE_NO_PAD.encode(Sha256::digest(members)),
            modulus,
            exponent,
        }
    }

    /// A signed JWT.
    pub(super) fn sign(&self, claims: &Json) -> String {
        let header = json!({ "alg": "RS256", "kid": self.kid, "typ": "JWT" });
        let part = |value: &Json| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                text.as_bytes(),
                &mut signature,
            )
            .expect("the signature has the length of the modulus");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of a JWT this key signed, whether or not it has ended.
    pub(super) fn verified(&self, token: &str) -> Option<Json> {
        let (text, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.key.public_key().as_ref());
        key.verify(text.as_bytes(), &signature).ok()?;
        let (_, claims) = text.split_once('.')?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    /// The JSON Web Key Set (RFC 7517).
    pub(super) fn key_set(&self) -> Json {
        json!({ "keys": [{
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": self.modulus,
            "e": self.exponent,
        }] })
    }
}

/// Modulus and exponent of a DER `RSAPublicKey`: a SEQUENCE (0x30) of two INTEGERs (0x02).
fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    Some((unsigned(modulus), unsigned(exponent)))
}

/// The content of the first element, which must have this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    // From 0x80 on, the low bits say how many bytes of length follow.
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// Without the zero that keeps a DER integer positive.
fn unsigned(integer: &[u8]) -> &[u8] {
    match integer {
        [0, rest @ ..] if !rest.is_empty() => rest,
        whole => whole,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::RsaPublicKeyComponents;

    use super::*;

    #[test]
    fn a_signature_holds_against_the_published_key() {
        let token = signer().sign(&json!({ "sub": "me" }));
        let keys = signer().key_set();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(keys["keys"][0][name].as_str().unwrap());
        let key = RsaPublicKeyComponents {
            n: number("n").unwrap(),
            e: number("e").unwrap(),
        };
        let (text, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        key.verify(&RSA_PKCS1_2048_8192_SHA256, text.as_bytes(), &signature)
            .unwrap();
        let header = URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap();
        let header: Json = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["kid"], keys["keys"][0]["kid"]);
    }

    #[test]
    fn a_changed_token_is_not_verified() {
        let token = signer().sign(&json!({ "aud": "one" }));
        assert_eq!(signer().verified(&token).unwrap()["aud"], "one");
        let other = signer().sign(&json!({ "aud": "two" }));
        let (text, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        assert_eq!(signer().verified(&format!("{text}.{signature}")), None);
        assert_eq!(signer().verified("nonsense"), None);
    }
}
