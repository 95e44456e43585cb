//! `pinyto-server check`: says what the server would do, without doing it.

use std::time::Duration;

use crate::{
    cloud, code,
    config::{Settings, ShownSetting},
    database::Database,
    run, say,
};

/// # Errors
///
/// One sentence about the first thing that would keep the server from starting.
pub(crate) async fn check(settings: &Settings, shown: &[ShownSetting]) -> Result<(), String> {
    for setting in shown {
        let value = setting.value.as_deref().unwrap_or("not set");
        say(&format!(
            "{:27} {value}  ({})",
            setting.name, setting.origin
        ));
    }
    say("");
    run::tls(settings)?;
    for address in std::iter::once(settings.listen).chain(settings.admin_listen) {
        drop(run::bind(address).await?);
    }
    let protocol = if settings.tls.is_some() {
        "HTTPS"
    } else {
        "HTTP"
    };
    say(&format!(
        "It would serve {protocol} on {}.",
        settings.listen
    ));
    if settings.is_exposed_without_tls() {
        say("Warning: without TLS, passwords and tokens cross the network readable.");
    }
    if let Some(runtime) = code::runtime(settings).await? {
        runtime.close(Duration::ZERO).await;
        say("It would run the code of assemblies.");
    } else {
        say("It would not run the code of assemblies.");
    }
    code::egress(settings)?;
    let key = settings.server_key.display();
    match cloud::read_server_key(&settings.server_key)? {
        Some(server_key) => say(&format!(
            "It would use the server key {key} with the key_hash {}.",
            server_key.public_key().fingerprint().short()
        )),
        None => say(&format!(
            "It would make a new server key and keep it in {key}."
        )),
    }
    #[cfg(feature = "gpgauth")]
    crate::openpgp::check(settings)?;
    let state = Database::inspect(settings).await?;
    say(&format!(
        "It would use the database {}: {state}.",
        settings.database
    ));
    Ok(())
}
