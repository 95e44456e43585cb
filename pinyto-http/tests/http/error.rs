//! The table from the core's errors to what clients get.

use std::{collections::BTreeSet, time::Duration};

use pinyto_core::{
    Error, Limited, Quota,
    assembly::{AssemblyName, InvalidAssembly},
    clock::Timestamp,
    crypto::CryptoError,
    key::{InvalidPublicKey, KeyHash, KeyLabel},
    keyserver::InvalidPassword,
    randomness::RandomnessUnavailable,
    store::StoreError,
    ticket::Audience,
    user::UserName,
};
use pinyto_http::{ApiError, ERRORS, Origin, PathPrefix};
use warp::Reply;

fn all_of_the_core() -> Vec<(Error, u16)> {
    let wait = Duration::from_millis(2500);
    let internal = CryptoError::Backend { operation: "sign" };
    vec![
        (Error::UnknownToken, 401),
        (Error::AuthenticationFailed, 401),
        (Error::WrongPassword, 403),
        (UserName::parse("").unwrap_err().into(), 400),
        (Error::ReservedUserName, 400),
        (Error::InvalidPublicKey(InvalidPublicKey::ModulusEven), 400),
        (KeyHash::parse("").unwrap_err().into(), 400),
        (KeyLabel::parse("").unwrap_err().into(), 400),
        (Error::InvalidPassword(InvalidPassword::TooShort), 400),
        (AssemblyName::parse("").unwrap_err().into(), 400),
        (Error::InvalidAssembly(InvalidAssembly::TooManyParts), 400),
        (Audience::parse("").unwrap_err().into(), 400),
        (Error::InvalidDocumentType, 400),
        (Error::DocumentTooDeep, 400),
        (Error::UserNameTaken, 409),
        (
            Error::AuthorHasKeys {
                author: "app".parse().unwrap(),
            },
            409,
        ),
        (Error::KeyAlreadyRegistered, 409),
        (Error::AmbiguousKeyHash, 409),
        (Error::LastActiveKey, 409),
        (Error::AssemblyNameTaken, 409),
        (
            Error::LimitReached {
                things: Limited::Keys,
                limit: 3,
            },
            409,
        ),
        (Error::UnknownKey, 404),
        (Error::UnknownAssembly, 404),
        (Error::AssemblyNotInstalled, 404),
        (Error::UnknownFunction, 404),
        (Error::NoKeyserverAccount, 404),
        (Error::CodeExecutionDisabled, 403),
        (Error::Throttled { retry_after: wait }, 429),
        (Error::Busy { retry_after: wait }, 429),
        (
            Error::QuotaExceeded {
                limit: Quota::CallsPerMinute(60),
                reset: Timestamp::from_unix_millis(0),
                retry_after: wait,
            },
            429,
        ),
        (Error::StorageFull { limit: 5 }, 507),
        (Error::UnknownJob, 404),
        (Error::UnknownDocument, 404),
        (Error::UnknownRun, 404),
        (
            Error::Store(StoreError::unavailable("the disk is full")),
            503,
        ),
        (Error::Store(StoreError::corrupt("key.n", "no number")), 500),
        (Error::InvalidHashCost, 500),
        (Error::InvalidTicketLifetime, 500),
        (Error::Crypto(internal), 500),
        (Error::Randomness(RandomnessUnavailable), 500),
        (Error::ShuttingDown, 503),
    ]
}

#[test]
fn every_error_of_the_core_has_its_status() {
    for (error, status) in all_of_the_core() {
        let code = error.code();
        let kind = ERRORS.iter().find(|kind| kind.code == code);
        assert!(kind.is_some(), "{code} is not in the table");
        let error = ApiError::from(error);
        assert_eq!(error.status().as_u16(), status, "{code}");
        assert_eq!(error.code(), code);
    }
}

#[test]
fn the_table_lists_each_code_once() {
    let codes: BTreeSet<&str> = ERRORS.iter().map(|kind| kind.code).collect();
    assert_eq!(codes.len(), ERRORS.len());
}

#[test]
fn who_has_to_wait_is_told_how_long_in_whole_seconds() {
    let wait = Duration::from_millis(2500);
    for (error, seconds) in [
        (Error::Throttled { retry_after: wait }, Some("3")),
        (Error::Busy { retry_after: wait }, Some("3")),
        (Error::Store(StoreError::unavailable("x")), Some("5")),
        (Error::ShuttingDown, Some("5")),
        (Error::UnknownKey, None),
    ] {
        let answer = ApiError::from(error).into_response();
        let header = answer.headers().get("retry-after");
        assert_eq!(header.map(|value| value.to_str().unwrap()), seconds);
    }
}

#[test]
fn what_failed_inside_is_not_told_to_clients() {
    for error in [
        Error::Store(StoreError::unavailable("unable to open /var/lib/pinyto.db")),
        Error::Store(StoreError::corrupt("key.n", "no number")),
        Error::Crypto(CryptoError::Backend { operation: "sign" }),
    ] {
        let sentence = ApiError::from(error).to_string();
        for inside in ["/var", "key.n", "sign"] {
            assert!(!sentence.contains(inside), "{sentence}");
        }
    }
}

#[test]
fn a_name_in_a_sentence_stays_within_the_json() {
    let name = "x".to_owned();
    let error = InvalidAssembly::DuplicateName { kind: "job", name };
    let error = ApiError::from(Error::InvalidAssembly(error));
    assert!(error.to_string().contains("job x is listed twice"));
}

#[test]
fn no_two_errors_have_the_same_name() {
    let mut names: Vec<&str> = ERRORS.iter().map(|kind| kind.code).collect();
    let (origin, prefix) = (Origin::parse(""), PathPrefix::parse("a b"));
    names.extend([origin.unwrap_err().code(), prefix.unwrap_err().code()]);
    #[cfg(feature = "gpgauth")]
    names.push(
        pinyto_http::routes::gpgauth::CookieName::parse("")
            .unwrap_err()
            .code(),
    );
    let different: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(different.len(), names.len());
}
