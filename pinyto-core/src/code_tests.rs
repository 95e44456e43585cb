//! The names by which programs know errors: what was released stays.

use std::{collections::HashSet, time::Duration};

use crate::{
    assembly::{AssemblyName, CallRequest, InvalidAssembly},
    clock::Timestamp,
    crypto::CryptoError,
    document::{QueryGivenUp, ScanLimit},
    egress::InvalidHostPattern,
    error::{Error, Limited},
    gpgauth::{EncryptionError, GpgAuthError, InvalidMessage, InvalidOpenPgpKey, OpenPgpError},
    key::{InvalidKeyHash, InvalidPublicKey, KeyLabel},
    keyserver::InvalidPassword,
    portable::ImportError,
    query::{InvalidPath, InvalidPattern, Stopped},
    quota::Quota,
    randomness::RandomnessUnavailable,
    runtime::{CodeError, CodeLimit, ServiceError, ServiceException},
    store::StoreError,
    testing::given,
    ticket::Audience,
    user::UserName,
};

const WAIT: Duration = Duration::from_secs(1);

/// Each error that a client can get, with the name it has always had. The match below breaks
/// when there is another one: it belongs here, too.
fn errors() -> Vec<(Error, &'static str)> {
    let at = Timestamp::from_unix_millis(0);
    vec![
        (Error::UnknownToken, "unknown_token"),
        (Error::AuthenticationFailed, "authentication_failed"),
        (Error::WrongPassword, "wrong_password"),
        (UserName::parse("").unwrap_err().into(), "invalid_user_name"),
        (Error::ReservedUserName, "reserved_user_name"),
        (
            InvalidPublicKey::ModulusNotDecimal.into(),
            "invalid_public_key",
        ),
        (InvalidOpenPgpKey::TooLong.into(), "invalid_openpgp_key"),
        (
            GpgAuthError::InvalidToken.into(),
            GpgAuthError::InvalidToken.code(),
        ),
        (InvalidKeyHash.into(), "invalid_key_hash"),
        (KeyLabel::parse("").unwrap_err().into(), "invalid_key_label"),
        (InvalidPassword::TooShort.into(), "invalid_password"),
        (InvalidPassword::TooLong.into(), "invalid_password"),
        (
            AssemblyName::parse("").unwrap_err().into(),
            "invalid_assembly_name",
        ),
        (InvalidAssembly::TooManyParts.into(), "invalid_assembly"),
        (InvalidAssembly::NulCharacter.into(), "invalid_assembly"),
        (Error::InvalidDocumentType, "invalid_document_type"),
        (Error::DocumentTooDeep, "document_too_deep"),
        (Error::TooManyValues, "too_many_values"),
        (
            QueryGivenUp::new(ScanLimit::Examined, given::NO_SCAN_LIMITS, None).into(),
            "query_given_up",
        ),
        (Error::UserNameTaken, "user_name_taken"),
        (
            Error::AuthorHasKeys {
                author: given::name("app"),
            },
            "author_has_keys",
        ),
        (Error::KeyAlreadyRegistered, "key_already_registered"),
        (Error::AmbiguousKeyHash, "ambiguous_key_hash"),
        (Error::LastActiveKey, "last_active_key"),
        (Error::OlderOpenPgpKey, "older_openpgp_key"),
        (Error::UnprovenKey, "unproven_key"),
        (Error::PasswordSession, "password_session"),
        (Error::AssemblyNameTaken, "assembly_name_taken"),
        (
            Error::LimitReached {
                things: Limited::Keys,
                limit: 1,
            },
            "limit_reached",
        ),
        (Error::StorageFull { limit: 1 }, "storage_full"),
        (Error::UnknownKey, "unknown_key"),
        (Error::UnknownAssembly, "unknown_assembly"),
        (Error::AssemblyNotInstalled, "assembly_not_installed"),
        (Error::UnknownFunction, "unknown_function"),
        (Error::UnknownJob, "unknown_job"),
        (Error::UnknownDocument, "unknown_document"),
        (Error::UnknownRun, "unknown_run"),
        (Error::NoKeyserverAccount, "no_keyserver_account"),
        (Error::GpgAuthDisabled, "gpgauth_disabled"),
        (Error::CodeExecutionDisabled, "code_execution_disabled"),
        (
            CodeError::exception("KeyError", "'a'").into(),
            "code_exception",
        ),
        (CodeError::syntax("no").into(), "code_invalid"),
        (
            CodeError::LimitReached {
                limit: CodeLimit::Memory(1),
            }
            .into(),
            "code_limit_reached",
        ),
        (CodeError::Crashed.into(), "code_crashed"),
        (CodeError::Busy { retry_after: WAIT }.into(), "busy"),
        (CodeError::Unavailable.into(), "code_runtime_unavailable"),
        (
            CodeError::QuotaExceeded {
                limit: Quota::CallsPerMinute(1),
                reset: at,
                retry_after: WAIT,
            }
            .into(),
            "quota_exceeded",
        ),
        (Error::InvalidAnswer, "code_answer_invalid"),
        (Error::RuntimeUnavailable, "code_runtime_unavailable"),
        (Error::Throttled { retry_after: WAIT }, "throttled"),
        (
            Error::QuotaExceeded {
                limit: Quota::CallsPerMinute(1),
                reset: at,
                retry_after: WAIT,
            },
            "quota_exceeded",
        ),
        (Error::Busy { retry_after: WAIT }, "busy"),
        (StoreError::busy().into(), "busy"),
        (Error::Store(StoreError::busy()), "busy"),
        (
            StoreError::unavailable("gone").into(),
            "database_unavailable",
        ),
        (
            StoreError::NotReady { reason: "gone" }.into(),
            "database_unavailable",
        ),
        (
            StoreError::corrupt("a", "b").into(),
            "database_inconsistent",
        ),
        (Error::InvalidHashCost, "internal"),
        (Error::InvalidTicketLifetime, "internal"),
        (Audience::parse("").unwrap_err().into(), "invalid_audience"),
        (Error::Crypto(CryptoError::Randomness), "internal"),
        (OpenPgpError { operation: "x" }.into(), "internal"),
        (RandomnessUnavailable.into(), "internal"),
        (Error::ShuttingDown, "shutting_down"),
    ]
}

/// What [`errors`] has to have one of.
#[rustfmt::skip]
const fn kind(error: &Error) -> u8 {
    match error {
        Error::UnknownToken => 0, Error::AuthenticationFailed => 1, Error::WrongPassword => 2,
        Error::InvalidUserName(_) => 3, Error::ReservedUserName => 4, Error::InvalidPublicKey(_) => 5,
        Error::InvalidOpenPgpKey(_) => 6, Error::GpgAuth(_) => 7, Error::InvalidKeyHash(_) => 8,
        Error::InvalidKeyLabel(_) => 9, Error::InvalidPassword(_) => 10,
        Error::InvalidAssemblyName(_) => 11, Error::InvalidAssembly(_) => 12,
        Error::InvalidDocumentType => 13, Error::DocumentTooDeep => 14, Error::TooManyValues => 15,
        Error::UserNameTaken => 16, Error::KeyAlreadyRegistered => 17, Error::AmbiguousKeyHash => 18,
        Error::LastActiveKey => 19, Error::OlderOpenPgpKey => 20, Error::UnprovenKey => 21,
        Error::PasswordSession => 22, Error::AssemblyNameTaken => 23, Error::LimitReached { .. } => 24,
        Error::StorageFull { .. } => 25, Error::UnknownKey => 26, Error::UnknownAssembly => 27,
        Error::AssemblyNotInstalled => 28, Error::UnknownFunction => 29, Error::UnknownJob => 30,
        Error::UnknownRun => 31, Error::NoKeyserverAccount => 32, Error::GpgAuthDisabled => 33,
        Error::CodeExecutionDisabled => 34, Error::CodeFailed(_) => 35, Error::InvalidAnswer => 36,
        Error::RuntimeUnavailable => 37, Error::Throttled { .. } => 38,
        Error::QuotaExceeded { .. } => 39, Error::Busy { .. } => 40, Error::Store(_) => 41,
        Error::InvalidHashCost => 42, Error::Crypto(_) => 43, Error::OpenPgp(_) => 44,
        Error::Randomness(_) => 45, Error::ShuttingDown => 46, Error::InvalidAudience(_) => 47,
        Error::InvalidTicketLifetime => 48, Error::QueryGivenUp(_) => 49, Error::UnknownDocument => 50,
        Error::AuthorHasKeys { .. } => 51,
    }
}

const KINDS: usize = 52;

#[test]
fn each_error_keeps_its_name() {
    for (error, code) in errors() {
        assert_eq!(error.code(), code, "{error}");
    }
    let listed: HashSet<u8> = errors().iter().map(|(error, _)| kind(error)).collect();
    assert_eq!(listed.len(), KINDS);
}

#[test]
fn what_stands_behind_an_error_has_a_name_of_its_own() {
    let duplicate = InvalidAssembly::DuplicateName {
        kind: "job",
        name: "x".to_owned(),
    };
    let line = ImportError::Line {
        line: 1,
        reason: String::new(),
    };
    let store = ImportError::Store {
        line: 1,
        source: StoreError::busy(),
    };
    let raised = ServiceError::raised(ServiceException::Value, "");
    let names = [
        (duplicate.code(), "assembly_duplicate_name"),
        (
            InvalidAssembly::TooManyParts.code(),
            "assembly_too_many_parts",
        ),
        (
            InvalidAssembly::InvalidHost(InvalidHostPattern).code(),
            "assembly_invalid_host",
        ),
        (
            InvalidAssembly::InvalidIndex(InvalidPath::Nul).code(),
            "assembly_invalid_index",
        ),
        (InvalidHostPattern.code(), "invalid_host_pattern"),
        (
            CallRequest::from_json("").unwrap_err().code(),
            "invalid_call_request",
        ),
        (InvalidPath::Dollar.code(), "path_dollar"),
        (InvalidPattern::TooLarge.code(), "pattern_too_large"),
        (Stopped::LongSearch.code(), "query_long_search"),
        (
            InvalidMessage::Undecryptable.code(),
            "gpgauth_undecryptable",
        ),
        (
            EncryptionError::Failed(OpenPgpError { operation: "x" }).code(),
            "openpgp_failed",
        ),
        (line.code(), "import_line_invalid"),
        (store.code(), "busy"),
        (raised.code(), "service_raised"),
        (
            ServiceError::Ended(CodeError::Crashed).code(),
            "code_crashed",
        ),
        (CodeLimit::CpuTime(WAIT).code(), "cpu_time"),
        (RandomnessUnavailable.code(), "randomness_unavailable"),
    ];
    for (code, expected) in names {
        assert_eq!(code, expected);
    }
}

#[test]
fn what_there_is_too_much_of_is_named_as_ever() {
    let sentence = |things| Error::LimitReached { things, limit: 7 }.to_string();
    for (things, name) in [
        (Limited::Keys, "keys"),
        (Limited::Assemblies, "assemblies"),
        (Limited::AssemblyBytes, "bytes of assemblies"),
        (Limited::InstalledAssemblies, "installed assemblies"),
        (Limited::QueuedJobs, "queued runs of jobs"),
    ] {
        let expected = format!("You may have at most 7 {name}. Delete some first.");
        assert_eq!(sentence(things), expected);
    }
    let reset = Timestamp::from_unix_millis(0);
    for (limit, name) in [
        (Quota::CallsPerMinute(60), "60 calls per minute"),
        (Quota::CpuPerHour(WAIT * 90), "90 s of CPU time per hour"),
        (Quota::CpuPerHour(WAIT / 2), "0.5 s of CPU time per hour"),
    ] {
        let of_code = CodeError::QuotaExceeded {
            limit,
            reset,
            retry_after: WAIT,
        };
        let expected = format!("You have used up your {name}. There is more at {reset}.");
        assert_eq!(of_code.to_string(), expected);
        assert_eq!(Error::from(of_code).to_string(), expected);
    }
}
