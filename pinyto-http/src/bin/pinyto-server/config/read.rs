//! Reads the values of single settings. What is wrong is told by the rest of the sentence
//! "--name must be ...".

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use pinyto_core::{egress::HostPattern, user::UserName};
#[cfg(feature = "gpgauth")]
use pinyto_http::routes::gpgauth::CookieName;

use super::{DatabaseUrl, table::DATABASE_SCHEMES};

/// The rest of the sentence "--name must be ...".
pub(super) fn wrong<T>(wanted: &str, text: &str) -> Result<T, String> {
    Err(format!("{wanted}, not {text:?}"))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().or_else(|_| {
        wrong(
            "an IP address with a port, such as 127.0.0.1:8080 or [::]:8080",
            text,
        )
    })
}

pub(super) fn database(text: &str) -> Result<DatabaseUrl, String> {
    if DATABASE_SCHEMES.iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    }) {
        Ok(DatabaseUrl(text.to_owned()))
    } else {
        // Not echoed: it may hold a password.
        let others = if cfg!(feature = "postgres") {
            " or postgres://pinyto@localhost/pinyto"
        } else {
            ""
        };
        Err(format!(
            "a database URL such as sqlite:pinyto.db?mode=rwc{others}"
        ))
    }
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        wrong("the name of a file", text)
    } else {
        Ok(PathBuf::from(text))
    }
}

#[cfg(feature = "gpgauth")]
pub(super) fn cookie_name(text: &str) -> Result<CookieName, String> {
    let name = CookieName::parse(text);
    name.or_else(|_| {
        wrong(
            "a name of 1 to 64 letters, digits, - and _, not csrfToken",
            text,
        )
    })
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => wrong("on or off", text),
    }
}

pub(super) fn number<N: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<N, String> {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|number| digits && (least..=most).contains(number))
            .and_then(|number| N::try_from(number).ok())
            .map_or_else(
                || wrong(&format!("a whole number from {least} to {most}"), text),
                Ok,
            )
    }
}

pub(super) fn seconds(least: u64) -> impl Fn(&str) -> Result<Duration, String> {
    let number = number(least, 24 * 60 * 60);
    move |text| {
        let seconds =
            number(text).map_err(|wrong| wrong.replacen("number", "number of seconds", 1));
        seconds.map(Duration::from_secs)
    }
}

/// Seconds with at most three decimals, from 0.01 to `most`.
pub(super) fn precise_seconds(most: u64) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let millis = (is_digits(whole) && is_digits(decimals) && (1..=3).contains(&decimals.len()))
            .then(|| {
                let seconds: u64 = whole.parse().ok()?;
                let rest: u64 = format!("{decimals:0<3}").parse().ok()?;
                seconds.checked_mul(1000)?.checked_add(rest)
            })
            .flatten();
        match millis.filter(|millis| (10..=most * 1000).contains(millis)) {
            Some(millis) => Ok(Duration::from_millis(millis)),
            None => wrong(
                &format!("a number of seconds from 0.01 to {most} with at most three decimals"),
                text,
            ),
        }
    }
}

pub(super) fn days(text: &str) -> Result<Duration, String> {
    let days: u64 = number(1, 36_500)(text)?;
    Ok(Duration::from_secs(days * 24 * 60 * 60))
}

/// A number of MiB; gives bytes.
pub(super) fn mebibytes<N: TryFrom<u64>>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<N, String> {
    units(1024 * 1024, least, most)
}

pub(super) fn kibibytes<N: TryFrom<u64>>(
    least: u64,
    most: u64,
) -> impl Fn(&str) -> Result<N, String> {
    units(1024, least, most)
}

/// Bytes, given in units of so many.
fn units<N: TryFrom<u64>>(unit: u64, least: u64, most: u64) -> impl Fn(&str) -> Result<N, String> {
    let number = number::<u64>(least, most);
    move |text| {
        let bytes = number(text)? * unit;
        N::try_from(bytes).or_else(|_| wrong("a smaller number on this machine", text))
    }
}

/// Patterns of hosts, separated by commas.
pub(super) fn hosts(text: &str) -> Result<Vec<HostPattern>, String> {
    list(
        text,
        "hosts such as example.org, *.example.org or 192.0.2.1, separated by commas",
        |part| HostPattern::parse(part).ok(),
    )
}

/// User names that are to be reserved, separated by commas.
pub(super) fn reserved_names(text: &str) -> Result<Vec<UserName>, String> {
    let wanted = "user names such as hello or shop, separated by commas";
    let strange = |part: &&str| !part.is_empty() && UserName::parse(part).is_err();
    match text.split(',').map(str::trim).find(strange) {
        Some(name) => Err(format!(
            "{wanted}. {name:?} can't be one, so nobody can register it and it needs no reserving: \
             leave it out"
        )),
        None => list(text, wanted, |part| UserName::parse(part).ok()),
    }
}

/// Networks or single addresses, separated by commas.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    list(
        text,
        "networks such as 10.1.0.0/16 or fd00::/8, separated by commas",
        |part| {
            let network = part.parse().map(|network: IpNet| network.trunc());
            network
                .or_else(|_| part.parse().map(|address: IpAddr| address.into()))
                .ok()
        },
    )
}

fn list<T>(text: &str, wanted: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let parts = text.split(',').map(|part| read(part.trim()));
    parts
        .collect::<Option<_>>()
        .map_or_else(|| wrong(wanted, text), Ok)
}
