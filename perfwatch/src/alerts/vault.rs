//! Secrets of channels as they are stored: sealed with a key that is derived from the secret that signs sign-ins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};

/// Sets this key apart from any other use of the same secret.
const PURPOSE: &[u8] = b"perfwatch alert channels 1";

/// Seals and opens.
pub struct Vault(LessSafeKey);

impl std::fmt::Debug for Vault {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    pub fn new(secret: &[u8]) -> Self {
        let extracted = Salt::new(HKDF_SHA256, b"").extract(secret);
        let info = [PURPOSE];
        let Ok(key) = extracted.expand(&info, &AES_256_GCM) else {
            unreachable!("HKDF makes keys of this length")
        };
        Self(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// `name` is bound to it: nothing opens under another. `None`: there are no random numbers.
    pub fn seal(&self, name: &str, secret: &str) -> Option<String> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).ok()?;
        let mut sealed = secret.as_bytes().to_vec();
        let of = Nonce::assume_unique_for_key(nonce);
        self.0.seal_in_place_append_tag(of, Aad::from(name.as_bytes()), &mut sealed).ok()?;
        Some(STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()))
    }

    /// `None`: it was sealed with another key, under another name, or it was changed.
    pub fn open(&self, name: &str, sealed: &str) -> Option<String> {
        let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_name_open_it_unchanged() {
        let vault = Vault::new(b"a secret of at least thirty-two bytes");
        let sealed = vault.seal("mail", "hunter2").unwrap();
        assert!(!sealed.contains("hunter2"));
        assert_ne!(sealed, vault.seal("mail", "hunter2").unwrap(), "each time with another nonce");
        assert_eq!(vault.open("mail", &sealed).as_deref(), Some("hunter2"));
        assert_eq!(vault.open("other", &sealed), None);
        assert_eq!(Vault::new(b"another").open("mail", &sealed), None);
        let mut bytes = STANDARD_NO_PAD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(vault.open("mail", &STANDARD_NO_PAD.encode(&bytes)), None, "{at}");
            bytes[at] ^= 1;
        }
        for bad in ["", "?", "AAAA"] {
            assert_eq!(vault.open("mail", bad), None);
        }
        assert_eq!(format!("{vault:?}"), "Vault");
    }
}
