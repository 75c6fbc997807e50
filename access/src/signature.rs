//! Webhook signatures by the Standard Webhooks scheme: HMAC-SHA256 over `id.timestamp.body`.

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shared::clock::Timestamp;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// How far a timestamp may be from now, either way, in seconds.
const TOLERANCE_SECONDS: u64 = 300;

/// What is wrong with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    #[error("the signature is missing, or a part of it")]
    Missing,
    #[error("the signature is not of now")]
    Stale,
    #[error("the signature is not that of the body")]
    Invalid,
}

/// Verifies the signature of a request: always when it has one, and it must have one when its key
/// requires it.
///
/// # Errors
/// [`SignatureFault`].
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secret: &[u8],
    is_required: bool,
    now: Timestamp,
) -> Result<(), SignatureFault> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_present = [ID, TIMESTAMP, SIGNATURE]
        .iter()
        .any(|name| headers.contains_key(*name));
    if !is_present {
        return if is_required {
            Err(SignatureFault::Missing)
        } else {
            Ok(())
        };
    }
    let (Some(id), Some(timestamp), Some(signatures)) =
        (text(ID), text(TIMESTAMP), text(SIGNATURE))
    else {
        return Err(SignatureFault::Missing);
    };
    let seconds: i64 = timestamp.parse().map_err(|_| SignatureFault::Stale)?;
    let now = now.moment().unix_timestamp();
    if now.abs_diff(seconds) > TOLERANCE_SECONDS {
        return Err(SignatureFault::Stale);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| SignatureFault::Invalid)?;
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    // A sender that changes its secret signs with both for a while.
    let is_valid = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        // Compares in constant time.
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    if is_valid {
        Ok(())
    } else {
        Err(SignatureFault::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    // The example of the Standard Webhooks specification's libraries.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const MESSAGE: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn check(
        [id, timestamp, signature]: [Option<&str>; 3],
        body: &[u8],
        now: i64,
        is_required: bool,
    ) -> Result<(), SignatureFault> {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ID, id), (TIMESTAMP, timestamp), (SIGNATURE, signature)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).expect("a header"));
            }
        }
        let secret = STANDARD.decode(SECRET).expect("base64");
        let now = Timestamp::from_unix_seconds(now).expect("a moment");
        verify(&headers, body, &secret, is_required, now)
    }

    fn signed(signature: &str, now: i64) -> Result<(), SignatureFault> {
        let at = AT.to_string();
        check([Some(MESSAGE), Some(&at), Some(signature)], BODY, now, true)
    }

    #[test]
    fn the_specifications_example_verifies() {
        assert_eq!(signed(SIGNED, AT), Ok(()));
        assert_eq!(signed(&format!("v1,AAAA v1a,x {SIGNED}"), AT), Ok(()));
    }

    #[test]
    fn a_timestamp_is_good_for_five_minutes_either_way() {
        for (offset, expected) in [
            (-301, Err(SignatureFault::Stale)),
            (-300, Ok(())),
            (300, Ok(())),
            (301, Err(SignatureFault::Stale)),
        ] {
            assert_eq!(signed(SIGNED, AT + offset), expected, "{offset}");
        }
    }

    #[test]
    fn whatever_differs_from_what_was_signed_is_refused() {
        let at = AT.to_string();
        let other = (AT + 1).to_string();
        for (headers, body) in [
            ([Some("msg_other"), Some(at.as_str()), Some(SIGNED)], BODY),
            ([Some(MESSAGE), Some(other.as_str()), Some(SIGNED)], BODY),
            ([Some(MESSAGE), Some(at.as_str()), Some(SIGNED)], b"{}"),
            ([Some(MESSAGE), Some(at.as_str()), Some("v1,")], BODY),
            ([Some(MESSAGE), Some(at.as_str()), Some("v1,g0hM9S")], BODY),
            ([Some(MESSAGE), Some(at.as_str()), Some("nonsense")], BODY),
        ] {
            assert_eq!(
                check(headers, body, AT, false),
                Err(SignatureFault::Invalid),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_signature_is_missing_when_required_or_when_only_a_part_is_there() {
        assert_eq!(check([None; 3], BODY, AT, false), Ok(()));
        assert_eq!(
            check([None; 3], BODY, AT, true),
            Err(SignatureFault::Missing)
        );
        assert_eq!(
            check([Some(MESSAGE), None, Some(SIGNED)], BODY, AT, false),
            Err(SignatureFault::Missing)
        );
    }
}
