//! The server's OpenPGP key, for gpgAuth.

use std::path::Path;

use pinyto_core::{
    clock::{Clock as _, SystemClock},
    gpgauth::{GpgAuthSettings, OpenPgp as _, RPgp},
};
use pinyto_http::routes::gpgauth::GpgAuthHttp;

use crate::{
    cloud::of_key_file,
    config::Settings,
    key_file::{self, KeyFileError},
    say,
};

/// What the key is called.
const WHAT: &str = "OpenPGP key";

/// What people see in their clients.
const USER_ID: &str = "Pinyto";

pub(crate) fn rules(settings: &Settings) -> GpgAuthSettings {
    let mut rules = GpgAuthSettings::default();
    rules.tells_unknown_keys = settings.gpgauth_tells_unknown_keys;
    rules
}

pub(crate) fn http_settings(settings: &Settings) -> GpgAuthHttp {
    let mut http = GpgAuthHttp::default();
    http.cookie.clone_from(&settings.gpgauth_cookie);
    // Without TLS nothing that a browser may send over TLS only would ever come back.
    http.secure_cookies = settings.tls.is_some() || settings.trust_proxy;
    http
}

/// The key in the file, or a new one that is there from now on.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) fn read_or_make(path: &Path) -> Result<RPgp, String> {
    if let Some(key) = read(path)? {
        return Ok(key);
    }
    let failed = |error: &dyn std::error::Error| {
        format!("The OpenPGP key {} can't be made: {error}.", path.display())
    };
    let key = RPgp::generate(USER_ID, SystemClock.now()).map_err(|error| failed(&error))?;
    let armored = key.to_armored_secret().map_err(|error| failed(&error))?;
    match key_file::create(path, &armored) {
        Ok(()) => {
            say(&format!(
                "The server's OpenPGP key was made. It is in {}. Keep that file: clients know your \
                 server by it.",
                path.display()
            ));
            Ok(key)
        }
        // Another server was faster: its key is the key.
        Err(KeyFileError::Exists { .. }) => {
            read(path)?.ok_or_else(|| format!("The OpenPGP key {} came and went.", path.display()))
        }
        Err(error) => Err(of_key_file(WHAT, &error)),
    }
}

/// Says which key would be used, if there is to be one.
///
/// # Errors
///
/// One sentence for the operator.
pub(crate) fn check(settings: &Settings) -> Result<(), String> {
    let Some(path) = &settings.gpgauth_key else {
        return Ok(());
    };
    let shown = path.display();
    match read(path)? {
        Some(key) => say(&format!(
            "It would use the OpenPGP key {shown} with the fingerprint {}.",
            key.fingerprint().to_hex().to_uppercase()
        )),
        None => {
            key_file::check_creatable(path).map_err(|error| of_key_file(WHAT, &error))?;
            say(&format!(
                "It would make a new OpenPGP key and keep it in {shown}."
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<RPgp>, String> {
    let Some(armored) = key_file::read(path).map_err(|error| of_key_file(WHAT, &error))? else {
        return Ok(None);
    };
    let key = RPgp::from_armored(&armored, SystemClock.now());
    key.map(Some)
        .map_err(|error| format!("The OpenPGP key {} can't be used: {error}", path.display()))
}
