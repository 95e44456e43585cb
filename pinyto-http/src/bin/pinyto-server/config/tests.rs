//! Precedence, and a sentence for every wrong value.

use super::*;

fn load_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Invocation, ConfigError> {
    let arguments = std::iter::once(&"pinyto-server")
        .chain(arguments)
        .map(OsString::from);
    let environment = environment
        .iter()
        .map(|(name, value)| (name.into(), value.into()));
    load(arguments, environment)
}

fn settings(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    match load_with(arguments, environment).unwrap() {
        Invocation::Serve(settings) => *settings,
        other => panic!("not settings: {other:?}"),
    }
}

fn refusal(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let sentence = load_with(arguments, environment).unwrap_err().to_string();
    assert!(
        !sentence.contains('\n') && sentence.ends_with('.'),
        "no sentence: {sentence}"
    );
    sentence
}

/// A configuration file; it goes with the directory.
fn file(contents: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pinyto.toml");
    std::fs::write(&path, contents).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn the_defaults_are_those_of_the_help_text() {
    let settings = settings(&[], &[]);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.admin_listen, None);
    assert_eq!(settings.database.expose(), "sqlite:pinyto.db?mode=rwc");
    assert_eq!(settings.sqlite_synchronous, SqliteSynchronous::Full);
    assert_eq!(settings.server_key, PathBuf::from("server-key.pem"));
    assert_eq!(settings.tls, None);
    assert!(!settings.trust_proxy && settings.throttle);
    assert_eq!(settings.max_body_bytes, 2 * 1024 * 1024);
    assert_eq!(settings.max_connections, 1024);
    assert_eq!(settings.header_timeout, Duration::from_secs(15));
    assert_eq!(settings.body_timeout, Duration::from_secs(60));
    assert_eq!(settings.request_timeout, Duration::from_secs(120));
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(settings.session_idle, Duration::from_secs(30 * 86_400));
    assert_eq!(settings.ticket_lifetime, Duration::from_secs(300));
    assert_eq!(settings.key_stock, 4);
    assert_eq!(
        (settings.log.as_str(), settings.log_format),
        ("info", LogFormat::Text)
    );

    let Invocation::Print(help) = load_with(&["--help"], &[]).unwrap() else {
        panic!("no help")
    };
    for setting in table::SETTINGS {
        assert!(
            help.contains(&format!("--{}", setting.name)),
            "{} is missing",
            setting.name
        );
        assert!(
            help.contains(&setting.variable()),
            "{} is missing",
            setting.variable()
        );
    }
}

#[test]
fn the_limits_of_a_listener_follow_the_settings_defaults() {
    let (from_settings, own) = (settings(&[], &[]).limits(), Limits::default());
    assert_eq!(format!("{from_settings:?}"), format!("{own:?}"));
    let of_routes = pinyto_http::HttpSettings::default();
    assert_eq!(settings(&[], &[]).body_timeout, of_routes.body_timeout);
    assert_eq!(settings(&[], &[]).max_body_bytes, of_routes.max_body_bytes);
}

#[test]
fn an_option_beats_the_environment_beats_the_file_beats_the_default() {
    let (_directory, path) = file("listen = '127.0.0.1:3'\nkey-stock = 3\nmax-connections = 3\n");
    let environment = [("PINYTO_LISTEN", "127.0.0.1:2"), ("PINYTO_KEY_STOCK", "2")];
    let settings = settings(
        &["--config", &path, "--listen", "127.0.0.1:1"],
        &environment,
    );
    assert_eq!(settings.listen.port(), 1);
    assert_eq!(settings.key_stock, 2);
    assert_eq!(settings.max_connections, 3);
    assert_eq!(settings.max_body_bytes, 2_097_152);
}

#[test]
fn the_environment_may_name_the_file() {
    let (_directory, path) = file("key-stock = 7");
    assert_eq!(settings(&[], &[("PINYTO_CONFIG", &path)]).key_stock, 7);
    let (_other_directory, other) = file("key-stock = 8");
    assert_eq!(
        settings(&["--config", &other], &[("PINYTO_CONFIG", &path)]).key_stock,
        8
    );
}

#[test]
fn every_setting_works_in_the_file() {
    let (_directory, path) = file(
        "listen = '[::1]:1'\nadmin-listen = '127.0.0.1:2'\ndatabase = 'sqlite:a.db'\n\
         sqlite-synchronous = 'normal'\nserver-key = 'k.pem'\ntls-cert = 'c.pem'\n\
         tls-key = 't.pem'\ntrust-proxy = true\nmax-body-bytes = 10\nmax-connections = 11\n\
         header-timeout = 12\nbody-timeout = 13\nrequest-timeout = 14\nshutdown-timeout = 0\n\
         code-wall-seconds = 13\n\
         session-idle-days = 15\nticket-seconds = 16\nkey-stock = 0\nthrottle = 'off'\nlog = 'warn'\n\
         log-format = 'json'\n",
    );
    let settings = settings(&["--config", &path], &[]);
    assert_eq!(settings.listen.to_string(), "[::1]:1");
    assert_eq!(settings.admin_listen.unwrap().port(), 2);
    assert_eq!(settings.database.expose(), "sqlite:a.db");
    assert_eq!(settings.sqlite_synchronous, SqliteSynchronous::Normal);
    assert_eq!(settings.server_key, PathBuf::from("k.pem"));
    let tls = TlsFiles::new("c.pem", "t.pem");
    assert_eq!(settings.tls, Some(tls));
    assert!(settings.trust_proxy && !settings.throttle);
    assert_eq!(
        (settings.max_body_bytes, settings.max_connections),
        (10, 11)
    );
    let timeouts = [
        settings.header_timeout,
        settings.body_timeout,
        settings.request_timeout,
    ];
    assert_eq!(timeouts.map(|timeout| timeout.as_secs()), [12, 13, 14]);
    assert_eq!(settings.shutdown_timeout, Duration::ZERO);
    assert_eq!(settings.session_idle, Duration::from_secs(15 * 86_400));
    assert_eq!(settings.ticket_lifetime.as_secs(), 16);
    assert_eq!((settings.key_stock, settings.log.as_str()), (0, "warn"));
    assert_eq!(settings.log_format, LogFormat::Json);
}

#[test]
fn what_code_may_use_follows_the_defaults_of_the_library() {
    let settings = settings(&[], &[]);
    let rules = pinyto_core::Settings::default();
    assert!(settings.code && !settings.code_unconfined);
    assert_eq!((settings.code_workers, settings.code_at_once), (2, None));
    assert_eq!(settings.code_cpu, rules.code_limits.cpu_time);
    assert_eq!(settings.code_wall, rules.code_limits.wall_time);
    assert_eq!(settings.code_memory, rules.code_limits.memory);
    assert_eq!(settings.code_recursion, rules.code_limits.recursion);
    assert_eq!(settings.code_answer, rules.code_limits.answer);
    assert_eq!(settings.code_output, rules.code_limits.output);
    assert_eq!(settings.code_services, rules.code_limits.service_calls);
    assert_eq!(settings.code_service_bytes, rules.code_limits.service_bytes);
    assert_eq!(settings.code_database, rules.query_limits.all_together);
    assert_eq!(settings.value_memory, rules.value_memory);
    assert_eq!(settings.query_examined, rules.query_limits.examined);
    assert_eq!(settings.query_time, rules.query_limits.time);
    assert_eq!(settings.find_documents, rules.query_limits.found);
    assert_eq!(settings.quota_cpu, rules.quotas.cpu_per_hour);
    assert_eq!(settings.quota_calls, rules.quotas.calls_per_minute);
    assert_eq!(settings.quota_storage, rules.quotas.bytes);
    assert!(settings.http_egress && settings.egress_allow.is_none());
    assert_eq!(settings.egress_deny, []);
    assert_eq!(settings.egress_allow_private, []);
    assert_eq!(settings.egress_requests, rules.http_requests);
    assert_eq!(settings.run_log_age, rules.run_retention.max_age);
    assert_eq!(settings.run_log_count, rules.run_retention.per_user);
    assert_eq!(settings.job_concurrency, rules.scheduler.concurrent);
    assert_eq!(settings.job_lease, rules.scheduler.lease);
}

#[test]
fn what_code_may_use_can_be_set() {
    let (_directory, path) = file(
        "code = false\ncode-unconfined = true\ncode-workers = 3\ncode-at-once = 4\n\
         code-cpu-seconds = 0.25\ncode-wall-seconds = 5\ncode-memory-mib = 128\n\
         query-examined = 600\nquery-seconds = 1\nfind-documents = 7\n\
         quota-cpu-seconds-per-hour = 8\nquota-calls-per-minute = 9\nquota-storage-mib = 10\n\
         http-egress = 'off'\negress-allow = ['*.Example.org', '192.0.2.1']\n\
         egress-deny = 'a.org, b.org'\negress-allow-private = ['10.1.2.3/8', 'fd00::1']\n\
         egress-requests = 11\nrun-log-days = 12\nrun-log-count = 13\njob-concurrency = 14\n",
    );
    let settings = settings(&["--config", &path], &[]);
    let texts = |patterns: &[HostPattern]| -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    };
    assert!(!settings.code && settings.code_unconfined && !settings.http_egress);
    assert_eq!((settings.code_workers, settings.code_at_once), (3, Some(4)));
    assert_eq!(settings.code_cpu, Duration::from_millis(250));
    assert_eq!(settings.code_wall, Duration::from_secs(5));
    assert_eq!(settings.code_memory, 128 << 20);
    assert_eq!((settings.query_examined, settings.find_documents), (600, 7));
    assert_eq!(settings.query_time, Duration::from_secs(1));
    assert_eq!(settings.quota_cpu, Some(Duration::from_secs(8)));
    assert_eq!(settings.quota_calls, Some(9));
    assert_eq!(settings.quota_storage, Some(10 << 20));
    let allowed = settings.egress_allow.unwrap();
    assert_eq!(texts(&allowed), ["*.example.org", "192.0.2.1"]);
    assert_eq!(texts(&settings.egress_deny), ["a.org", "b.org"]);
    let networks: Vec<String> = settings
        .egress_allow_private
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(networks, ["10.0.0.0/8", "fd00::1/128"]);
    assert_eq!(settings.egress_requests, 11);
    assert_eq!(settings.run_log_age, Duration::from_secs(12 * 86_400));
    assert_eq!((settings.run_log_count, settings.job_concurrency), (13, 14));
}

#[test]
fn switches_take_several_spellings() {
    for on in [
        "--trust-proxy",
        "--trust-proxy=on",
        "--trust-proxy=true",
        "--trust-proxy=1",
    ] {
        assert!(settings(&[on], &[]).trust_proxy, "{on}");
    }
    assert!(!settings(&["--trust-proxy=no"], &[("PINYTO_TRUST_PROXY", "yes")]).trust_proxy);
    assert!(!settings(&[], &[("PINYTO_THROTTLE", "off")]).throttle);
    assert!(!settings(&["--throttle", "off"], &[]).throttle);
    assert!(settings(&["--throttle=on"], &[("PINYTO_THROTTLE", "off")]).throttle);
}

#[test]
fn an_empty_or_foreign_variable_counts_as_not_set() {
    let environment = [
        ("PINYTO_TLS_CERT", ""),
        ("PINYTO_TEST_SERVER", "x"),
        ("LISTEN", "x"),
    ];
    assert_eq!(settings(&[], &environment), settings(&[], &[]));
}

#[test]
fn a_misspelt_variable_is_refused() {
    let sentence = refusal(&[], &[("PINYTO_LISTN", "127.0.0.1:1")]);
    assert!(sentence.starts_with("The variable PINYTO_LISTN belongs to no setting"));
}

#[test]
fn a_database_in_memory_is_known_as_such() {
    assert!(settings(&["--database=sqlite::memory:"], &[]).is_in_memory());
    assert!(!settings(&[], &[]).is_in_memory());
}

#[test]
fn every_wrong_value_is_refused_with_its_name() {
    for (name, wrong) in [
        ("listen", "8080"),
        ("listen", "localhost:8080"),
        ("listen", "127.0.0.1:99999"),
        ("admin-listen", "nowhere"),
        ("database", "pinyto.db"),
        ("database", "sqlite:"),
        ("database", "mysql://root:hunter2@db/pinyto"),
        ("sqlite-synchronous", "off"),
        #[cfg(feature = "postgres")]
        ("database", "postgres://"),
        #[cfg(feature = "postgres")]
        ("postgres-connections", "3"),
        ("trust-proxy", "maybe"),
        ("max-body-bytes", "0"),
        ("max-body-bytes", "2MiB"),
        ("max-body-bytes", "99999999999"),
        ("max-connections", "0"),
        ("max-connections", "-1"),
        ("max-connections", "+1"),
        ("header-timeout", "0"),
        ("header-timeout", "1.5"),
        ("body-timeout", "1h"),
        ("request-timeout", "99999999"),
        ("shutdown-timeout", "never"),
        ("session-idle-days", "0"),
        ("reserved-names", "hello,"),
        ("reserved-names", "hello,the shop"),
        ("session-idle-days", "18446744073709551616"),
        ("ticket-seconds", "0"),
        ("ticket-seconds", "3601"),
        ("key-stock", "1001"),
        ("throttle", "loud"),
        ("code", "maybe"),
        ("code-unconfined", "maybe"),
        ("code-workers", "0"),
        ("code-at-once", "0"),
        ("code-cpu-seconds", "0.009"),
        ("code-cpu-seconds", "60.001"),
        ("code-cpu-seconds", "1.0001"),
        ("code-cpu-seconds", "1."),
        ("code-cpu-seconds", ".5"),
        ("code-cpu-seconds", "1e1"),
        ("code-cpu-seconds", "-1"),
        ("code-cpu-seconds", "+1"),
        ("code-cpu-seconds", "0.+1"),
        ("code-cpu-seconds", "99999999999999999999"),
        ("code-wall-seconds", "0"),
        ("code-memory-mib", "7"),
        ("code-memory-mib", "4097"),
        ("query-examined", "0"),
        ("query-seconds", "0"),
        ("find-documents", "many"),
        ("quota-cpu-seconds-per-hour", "0"),
        ("quota-calls-per-minute", "0.5"),
        ("quota-storage-mib", "18446744073709551615"),
        ("http-egress", "http"),
        ("egress-allow", "*"),
        ("egress-allow", "example.org,"),
        ("egress-deny", "https://example.org"),
        ("egress-allow-private", "10.0.0.0/33"),
        ("egress-allow-private", "intranet"),
        ("egress-requests", "0"),
        ("run-log-days", "0"),
        ("run-log-count", "0"),
        ("job-concurrency", "0"),
        ("job-lease-seconds", "2"),
        ("log", "=/="),
        ("log-format", "xml"),
    ] {
        let option = format!("--{name}");
        let sentence = refusal(&[&format!("{option}={wrong}")], &[]);
        assert!(
            sentence.starts_with(&format!("{option} must be ")),
            "{sentence}"
        );
        assert!(!sentence.contains("hunter2"), "{sentence}");
        let variable = table::variable(name);
        let sentence = refusal(&[], &[(&variable, wrong)]);
        assert!(
            sentence.starts_with(&format!("{variable} must be ")),
            "{sentence}"
        );
    }
    for name in ["server-key", "tls-cert", "tls-key"] {
        let sentence = refusal(&[&format!("--{name}=")], &[]);
        assert!(sentence.contains(name), "{sentence}");
    }
}

#[test]
fn a_name_that_nobody_can_have_needs_no_reserving() {
    let told = |value: &str| refusal(&[&format!("--reserved-names={value}")], &[]);
    assert_eq!(
        told("hello, my-app"),
        "--reserved-names must be user names such as hello or shop, separated by commas. \"my-app\" \
         can't be one, so nobody can register it and it needs no reserving: leave it out."
    );
    assert!(!told("hello,").contains("reserving"));
}

#[test]
fn a_wrong_value_in_the_file_names_key_and_file() {
    for (line, wanted) in [
        (
            "listen = 'x'",
            "listen in FILE must be an IP address with a port",
        ),
        ("listen = 8080", "listen in FILE must be text in quotes."),
        (
            "key-stock = '4'",
            "key-stock in FILE must be a whole number without quotes.",
        ),
        (
            "key-stock = -1",
            "key-stock in FILE must be a whole number from 0 to 1000, not \"-1\".",
        ),
        (
            "code-cpu-seconds = '1'",
            "code-cpu-seconds in FILE must be a number without quotes.",
        ),
        (
            "code-cpu-seconds = inf",
            "code-cpu-seconds in FILE must be a number of seconds from 0.01 to 60",
        ),
        (
            "egress-allow = ['a.org', 1]",
            "egress-allow in FILE must be a list of texts in quotes.",
        ),
        (
            "egress-allow = []",
            "egress-allow in FILE must be hosts such as",
        ),
        (
            "trust-proxy = 1",
            "trust-proxy in FILE must be true or false.",
        ),
        ("colour = 'red'", "FILE has the unknown key \"colour\"."),
        (
            "key_stock = 4",
            "FILE has the unknown key \"key_stock\", but there is \"key-stock\".",
        ),
        (
            "config = 'more.toml'",
            "FILE has the unknown key \"config\".",
        ),
        (
            "[server]\nlisten = 'x'",
            "FILE has the unknown key \"server\".",
        ),
        ("\nlisten = ", "Line 2 of FILE is not valid TOML: "),
        ("log = 'a'\nlog = 'b'", "Line 2 of FILE is not valid TOML: "),
    ] {
        let (_directory, path) = file(line);
        let sentence = refusal(&["--config", &path], &[]).replace(&path, "FILE");
        assert!(sentence.starts_with(wanted), "{line:?} gives {sentence:?}");
    }
    let sentence = refusal(&["--config", "/nonexistent/pinyto.toml"], &[]);
    assert!(sentence.starts_with("The configuration file /nonexistent/pinyto.toml can't be read"));
}

#[test]
fn contradictions_are_refused() {
    for (arguments, wanted) in [
        (
            &["--tls-cert=c.pem"][..],
            "--tls-cert needs --tls-key beside it.",
        ),
        (
            &["--tls-key=k.pem"],
            "--tls-key needs --tls-cert beside it.",
        ),
        (
            &["--body-timeout=9", "--request-timeout=9"],
            "--body-timeout must be shorter than",
        ),
        (
            &["--admin-listen=127.0.0.1:8080"],
            "--admin-listen must be another address than",
        ),
        (
            &["--code-wall-seconds=120"],
            "--code-wall-seconds must be shorter than --request-timeout, because",
        ),
        (
            &["--code-cpu-seconds=5.5", "--code-wall-seconds=5"],
            "--code-cpu-seconds must be at most --code-wall-seconds, because",
        ),
        (
            &["--query-seconds=30.5"],
            "--query-seconds must be at most --code-wall-seconds, because",
        ),
        (
            &["--query-examined=100"],
            "--find-documents must be at most --query-examined, because",
        ),
        (
            &["--egress-allow=a.org,b.org", "--egress-deny=B.org"],
            "--egress-allow and --egress-deny both name b.org.",
        ),
    ] {
        let sentence = refusal(arguments, &[]);
        assert!(sentence.starts_with(wanted), "{sentence}");
    }
}

#[test]
fn where_no_code_is_run_nothing_has_to_fit_it() {
    let settings = settings(
        &["--code=off", "--request-timeout=20", "--body-timeout=9"],
        &[],
    );
    assert!(!settings.code);
    assert_eq!(settings.code_wall, Duration::from_secs(30));
}

#[test]
fn what_clap_refuses_is_one_sentence_too() {
    for (arguments, wanted) in [
        (&["--colour"][..], "unexpected argument '--colour' found"),
        (&["serve"], "unrecognized subcommand 'serve'"),
        (&["--listen"], "a value is required for '--listen <ADDR>'"),
        (
            &["--listen=a", "--listen=b"],
            "the argument '--listen <ADDR>' cannot be used multiple",
        ),
    ] {
        let sentence = refusal(arguments, &[]);
        assert!(sentence.starts_with(wanted), "{sentence}");
        assert!(
            sentence.ends_with("; pinyto-server --help lists the options."),
            "{sentence}"
        );
    }
}

#[test]
fn check_takes_options_on_either_side_and_shows_where_values_come_from() {
    let (_directory, path) = file("max-connections = 5");
    let environment = [("PINYTO_KEY_STOCK", "2")];
    let arguments = ["--config", &path, "check", "--listen=127.0.0.1:1"];
    let Invocation::Check(settings, shown) = load_with(&arguments, &environment).unwrap() else {
        panic!("no check");
    };
    assert_eq!((settings.listen.port(), settings.max_connections), (1, 5));
    let shown = |name| {
        shown
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
            .clone()
    };
    assert_eq!(shown("listen").origin, Origin::CommandLine);
    assert_eq!(shown("key-stock").origin, Origin::Environment);
    assert_eq!(
        shown("max-connections").origin,
        Origin::File(path.clone().into())
    );
    assert_eq!(shown("log").origin, Origin::Default);
    assert_eq!(shown("tls-cert").value, None);
}

#[test]
fn a_database_password_is_never_shown() {
    for (url, shown) in [
        ("sqlite:pinyto.db?mode=rwc", "sqlite:pinyto.db?mode=rwc"),
        (
            "postgres://me:se@cret@db:5432/pinyto?password=secret",
            "postgres://db:5432/pinyto",
        ),
        ("postgres://db/pinyto", "postgres://db/pinyto"),
    ] {
        let url = DatabaseUrl(url.to_owned());
        assert_eq!(url.to_string(), shown);
        assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
    }
}

#[test]
fn only_an_unprotected_public_address_is_exposed() {
    let exposed = |arguments: &[&str]| settings(arguments, &[]).is_exposed_without_tls();
    assert!(exposed(&["--listen=0.0.0.0:80"]));
    assert!(exposed(&["--listen=[::]:80"]));
    assert!(!exposed(&["--listen=[::1]:80"]));
    assert!(!exposed(&["--listen=[::ffff:127.0.0.1]:80"]));
    assert!(!exposed(&["--listen=0.0.0.0:80", "--trust-proxy"]));
    assert!(!exposed(&[
        "--listen=0.0.0.0:80",
        "--tls-cert=c",
        "--tls-key=k"
    ]));
}
