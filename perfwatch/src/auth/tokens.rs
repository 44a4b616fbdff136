//! JWTs: HS256 only, with expiry, token id and the account's token generation.

use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::private_file;

/// Where the generated signing secret is stored, in the data directory.
pub const SECRET_FILE: &str = "jwt-secret";
/// HS256 signs with SHA-256: a shorter secret is easier to guess than to forge.
pub const MIN_SECRET_BYTES: usize = 32;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    pub user_id: i64,
    /// Unique per token, for revocation by logout.
    pub id: String,
    pub generation: i64,
    pub expires_at: OffsetDateTime,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    sub: String,
    iat: i64,
    exp: i64,
    #[serde(rename = "gen")]
    generation: i64,
    jti: String,
}

pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    lifetime: Duration,
}

impl std::fmt::Debug for Tokens {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Tokens {
    pub fn new(secret: &[u8], lifetime: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            lifetime,
        }
    }

    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    pub fn issue(
        &self,
        user_id: i64,
        generation: i64,
        now: OffsetDateTime,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let mut id = [0u8; 16];
        getrandom::fill(&mut id).map_err(|error| {
            jsonwebtoken::errors::ErrorKind::Provider(format!("cannot get random numbers: {error}"))
        })?;
        let wire = Wire {
            sub: user_id.to_string(),
            iat: now.unix_timestamp(),
            exp: (now + self.lifetime).unix_timestamp(),
            generation,
            jti: URL_SAFE_NO_PAD.encode(id),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &wire, &self.encoding)
    }

    /// The claims of a token that we signed and that has not expired.
    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Option<Claims> {
        if names_critical_extensions(token) {
            return None;
        }
        let wire = jsonwebtoken::decode::<Wire>(token, &self.decoding, &self.validation).ok()?.claims;
        let expires_at = OffsetDateTime::from_unix_timestamp(wire.exp).ok()?;
        let user_id: i64 = wire.sub.parse().ok()?;
        // `+7` and `007` parse too, but we never wrote them.
        (wire.sub == user_id.to_string() && expires_at > now).then_some(Claims {
            user_id,
            id: wire.jti,
            generation: wire.generation,
            expires_at,
        })
    }
}

/// Whether a token requires its reader to understand an extension (RFC 7515, 4.1.11): we understand none,
/// and the library does not check.
fn names_critical_extensions(token: &str) -> bool {
    let header = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    let header = header.and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
    header.is_none_or(|header| header.get("crit").is_some())
}

/// The secret stored in `data_dir`, created on first use: the file's text, so that another server which is given the file
/// as `JWT_SECRET_FILE` has the same.
pub fn load_or_create_secret(data_dir: &Path) -> io::Result<Vec<u8>> {
    let path = data_dir.join(SECRET_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.trim();
            let random = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
            if random.len() < MIN_SECRET_BYTES {
                let message = format!("{} is corrupt; delete it and a new one is generated", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            Ok(text.as_bytes().to_vec())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut random = [0u8; 48];
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            let secret = URL_SAFE_NO_PAD.encode(random).into_bytes();
            private_file::write(&path, &secret)?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const DAY: Duration = Duration::from_secs(86_400);

    fn signed(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    fn good_claims() -> serde_json::Value {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        json!({"sub": "7", "iat": now, "exp": now + 60, "gen": 3, "jti": "x"})
    }

    #[test]
    fn a_token_returns_what_it_was_issued_for() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        let claims = tokens.verify(&tokens.issue(7, 3, now).unwrap(), now).unwrap();
        assert_eq!((claims.user_id, claims.generation), (7, 3));
        assert_eq!(claims.expires_at.unix_timestamp(), now.unix_timestamp() + 86_400);
        assert!(
            tokens.verify(&tokens.issue(7, 3, now - DAY).unwrap(), now).is_none(),
            "expired to the second"
        );
    }

    #[test]
    fn each_token_has_its_own_id() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        let id = |token: String| tokens.verify(&token, now).unwrap().id;
        assert_ne!(id(tokens.issue(7, 3, now).unwrap()), id(tokens.issue(7, 3, now).unwrap()));
    }

    #[test]
    fn forgeries_are_refused() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        assert!(tokens.verify(&signed(Algorithm::HS256, &good_claims()), now).is_some(), "the control");
        assert!(tokens.verify(&signed(Algorithm::HS384, &good_claims()), now).is_none());
        assert!(tokens.verify(&signed(Algorithm::HS512, &good_claims()), now).is_none());
        let payload = URL_SAFE_NO_PAD.encode(good_claims().to_string());
        for alg in ["none", "None", "NONE", "", "HS256"] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
            assert!(tokens.verify(&format!("{header}.{payload}."), now).is_none(), "alg {alg:?}");
        }
        let other = Tokens::new(b"another secret of thirty-two bytes", DAY);
        assert!(tokens.verify(&other.issue(7, 3, now).unwrap(), now).is_none());
    }

    #[test]
    fn absurd_claims_are_refused() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        let with = |key: &str, value: serde_json::Value| {
            let mut claims = good_claims();
            claims[key] = value;
            signed(Algorithm::HS256, &claims)
        };
        for exp in
            [json!(null), json!("tomorrow"), json!(-1), json!(1e300), json!(i64::MAX), json!([]), json!({})]
        {
            assert!(tokens.verify(&with("exp", exp.clone()), now).is_none(), "exp {exp}");
        }
        for sub in
            [json!(7), json!(""), json!("+7"), json!("07"), json!("7\0"), json!("9".repeat(40)), json!(null)]
        {
            assert!(tokens.verify(&with("sub", sub.clone()), now).is_none(), "sub {sub}");
        }
        let mut claims = good_claims();
        claims.as_object_mut().unwrap().remove("exp");
        assert!(tokens.verify(&signed(Algorithm::HS256, &claims), now).is_none(), "no exp");
    }

    #[test]
    fn tokens_of_the_future_are_refused() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        let not_before = |at: serde_json::Value| {
            let mut claims = good_claims();
            claims["nbf"] = at;
            tokens.verify(&signed(Algorithm::HS256, &claims), now).is_some()
        };
        assert!(not_before(json!(now.unix_timestamp() - 1)), "the control");
        for at in [json!(now.unix_timestamp() + 30), json!("tomorrow"), json!(1e300), json!([])] {
            assert!(!not_before(at.clone()), "nbf {at}");
        }
    }

    #[test]
    fn extensions_that_must_be_understood_are_refused() {
        let tokens = Tokens::new(SECRET, DAY);
        let now = OffsetDateTime::now_utc();
        let with = |header: serde_json::Value| {
            let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
            let message = format!("{}.{}", part(header), part(good_claims()));
            let key = EncodingKey::from_secret(SECRET);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            tokens.verify(&format!("{message}.{signature}"), now).is_some()
        };
        assert!(with(json!({"alg": "HS256", "typ": "JWT"})), "the control");
        for crit in [json!(["exp"]), json!(["b64"]), json!([]), json!("x"), json!(null)] {
            assert!(!with(json!({"alg": "HS256", "crit": crit.clone(), "b64": true})), "crit {crit}");
        }
    }

    #[test]
    fn the_secret_survives_and_a_damaged_one_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create_secret(dir.path()).unwrap();
        assert!(first.len() >= MIN_SECRET_BYTES);
        assert_eq!(load_or_create_secret(dir.path()).unwrap(), first);
        assert_eq!(
            std::fs::read(dir.path().join(SECRET_FILE)).unwrap(),
            first,
            "others may be given the file"
        );
        std::fs::write(dir.path().join(SECRET_FILE), "short").unwrap();
        assert_eq!(load_or_create_secret(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    proptest! {
        #[test]
        fn no_text_is_taken_for_a_token(text in ".{0,200}") {
            prop_assert!(Tokens::new(SECRET, DAY).verify(&text, OffsetDateTime::now_utc()).is_none());
        }

        #[test]
        fn no_changed_byte_is_accepted(position in 0usize..200, byte in 0x21u8..0x7f) {
            let tokens = Tokens::new(SECRET, DAY);
            let now = OffsetDateTime::now_utc();
            let token = tokens.issue(7, 3, now).unwrap();
            let mut changed = token.clone().into_bytes();
            let position = position % changed.len();
            changed[position] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(tokens.verify(&changed, now).is_some(), changed == token);
        }
    }
}
