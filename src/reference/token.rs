//! Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256, and nothing else.
//!
//! The key follows from the server's seed, which is good enough for a server that guards nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::time::Duration;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TokenError {
    /// It is not three parts of base64 with JSON in them.
    #[error("the token is malformed")]
    Malformed,
    /// It asks to be verified in another way. Whoever obeys accepts forged tokens.
    #[error("the token is not signed with HS256")]
    WrongAlgorithm,
    /// It was not signed with this server's key, or was changed afterwards.
    #[error("the token's signature is wrong")]
    WrongSignature,
    /// It was valid once.
    #[error("the token has expired")]
    Expired,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(default)]
    typ: Option<&'a str>,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    /// The user.
    pub(super) sub: String,
    /// When it was issued, in seconds since 1970.
    pub(super) iat: u64,
    /// The first second in which it is not valid any more.
    pub(super) exp: u64,
}

/// Signs and verifies tokens.
pub(super) struct TokenKey(Hmac<Sha256>);

impl TokenKey {
    /// The key of a server with this seed.
    pub(super) fn of_seed(seed: u64) -> Self {
        // Another stream than the misbehaviour of the same seed.
        let mut generator = Pcg64Mcg::seed_from_u64(seed ^ 0x6A77_745F_6B65_7921);
        let mut key = [0; 32];
        generator.fill_bytes(&mut key);
        Self(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"))
    }

    /// A token for this user from now, in seconds since 1970, for so long.
    pub(super) fn issue(&self, user: &str, now: u64, lifetime: Duration) -> String {
        let claims = Claims {
            sub: user.to_owned(),
            iat: now,
            exp: now + lifetime.as_secs(),
        };
        self.sign("HS256", &claims)
    }

    fn sign(&self, algorithm: &str, claims: &Claims) -> String {
        let header = Header {
            alg: algorithm,
            typ: Some("JWT"),
        };
        let mut token = encode(&header);
        token.push('.');
        token.push_str(&encode(claims));
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        let signature = BASE64.encode(mac.finalize().into_bytes());
        token.push('.');
        token.push_str(&signature);
        token
    }

    /// What a token says, if it is to be believed at this time in seconds since 1970.
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> =
            serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        if header.alg != "HS256" {
            return Err(TokenError::WrongAlgorithm);
        }
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        // In constant time: how much of a forgery is right must not show.
        mac.verify_slice(&decode(signature)?)
            .map_err(|_| TokenError::WrongSignature)?;
        let claims: Claims =
            serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }
}

fn encode(part: &impl Serialize) -> String {
    BASE64.encode(serde_json::to_vec(part).expect("text and numbers are JSON"))
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    BASE64.decode(part).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn key() -> TokenKey {
        TokenKey::of_seed(1)
    }

    #[test]
    fn a_token_says_who_and_until_when() {
        let token = key().issue("bench", NOW, Duration::from_hours(1));
        let claims = key().verify(&token, NOW).unwrap();
        assert_eq!(
            claims,
            Claims {
                sub: "bench".to_owned(),
                iat: NOW,
                exp: NOW + 3600
            }
        );
        let header = decode(token.split('.').next().unwrap()).unwrap();
        assert_eq!(header, br#"{"alg":"HS256","typ":"JWT"}"#);
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 7515, appendix A.1, with its key and its payload.
        let key = BASE64
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let key = TokenKey(Hmac::new_from_slice(&key).unwrap());
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        // It has no subject, which is looked for only behind a right signature.
        assert_eq!(key.verify(token, NOW), Err(TokenError::Malformed));
        let forged = token.replace("dBjft", "dBjfu");
        assert_eq!(key.verify(&forged, NOW), Err(TokenError::WrongSignature));
    }

    #[test]
    fn only_untouched_tokens_of_this_server_are_believed_and_not_for_ever() {
        let token = key().issue("bench", NOW, Duration::from_hours(1));
        let parts: Vec<&str> = token.split('.').collect();
        let claims = Claims {
            sub: "root".to_owned(),
            iat: NOW,
            exp: NOW + 3600,
        };
        let other_user = format!("{}.{}.{}", parts[0], encode(&claims), parts[2]);
        let other_key = TokenKey::of_seed(2).issue("bench", NOW, Duration::from_hours(1));
        let unsigned = format!(
            "{}.{}.",
            encode(&Header {
                alg: "none",
                typ: None
            }),
            parts[1]
        );
        let other_algorithm = key().sign("HS512", &claims);
        let cut = &token[..token.len() - 3];
        for (token, now, error) in [
            (other_user.as_str(), NOW, TokenError::WrongSignature),
            (&other_key, NOW, TokenError::WrongSignature),
            (cut, NOW, TokenError::WrongSignature),
            (&unsigned, NOW, TokenError::WrongAlgorithm),
            (&other_algorithm, NOW, TokenError::WrongAlgorithm),
            (&token, NOW + 3600, TokenError::Expired),
            ("", NOW, TokenError::Malformed),
            ("a.b", NOW, TokenError::Malformed),
            ("a.b.c", NOW, TokenError::Malformed),
            (&format!("{token}=="), NOW, TokenError::Malformed),
            (&format!("{token}.x"), NOW, TokenError::Malformed),
        ] {
            assert_eq!(key().verify(token, now), Err(error), "{token}");
        }
        assert!(key().verify(&token, NOW + 3599).is_ok());
    }
}
