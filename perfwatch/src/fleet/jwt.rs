//! The JWTs by which NATS knows operators, accounts and users: claims as JSON, signed with an nkey, all three parts in
//! base64url. What is in `nats` is described at <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/jwt>.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Why something can't be signed.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign a JWT: {0}")]
pub struct SigningError(nkeys::error::Error);

/// Signs claims about a public key; `issued_at` in seconds.
pub fn sign(
    issuer: &KeyPair,
    subject: &str,
    name: &str,
    issued_at: i64,
    nats: &Value,
) -> Result<String, SigningError> {
    let mut claims =
        json!({"iat": issued_at, "iss": issuer.public_key(), "name": name, "nats": nats, "sub": subject});
    // Tells two apart.
    claims["jti"] = encode(Sha256::digest(claims.to_string()).as_slice()).into();
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let text = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
    let signature = issuer.sign(text.as_bytes()).map_err(SigningError)?;
    Ok(format!("{text}.{}", encode(&signature)))
}

/// What a JWT claims. Whether its signature is right is for the server to check.
pub fn claims(jwt: &str) -> Option<Map<String, Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(jwt.trim().split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A credentials file of NATS, as its tools and libraries read it.
pub fn credentials(jwt: &str, seed: &str) -> String {
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_can_be_read_and_checked() {
        let (issuer, user) = (KeyPair::new_account(), KeyPair::new_user());
        let jwt = sign(&issuer, &user.public_key(), "web", 7, &json!({"type": "user"})).unwrap();
        let read = claims(&jwt).unwrap();
        assert_eq!((&read["iat"], &read["sub"]), (&json!(7), &json!(user.public_key())));
        let (text, signature) = jwt.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let known = KeyPair::from_public_key(read["iss"].as_str().unwrap()).unwrap();
        known.verify(text.as_bytes(), &signature).unwrap();
        assert!(known.verify(b"other", &signature).is_err());
        assert_eq!(claims("nonsense"), None);
    }
}
