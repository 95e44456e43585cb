//! Tickets: issued by a cloud, verified by a service that knows nothing but the server's public key.

use std::time::Duration;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pinyto_core::{
    Cloud, Error, Settings,
    challenge::{Challenge, ChallengeError, ServerKey},
    clock::Timestamp,
    crypto::RsaBackend as _,
    memory::MemoryStore,
    session::Session,
    testing::{given, rsa::Toy},
    ticket::{Audience, InvalidTicket, Ticket, TicketVerifier},
};
use proptest::prelude::*;

use crate::{
    support::{MOMENT, World, code, settings},
    throttling::{bad_token, strict},
};

const SECOND: Duration = Duration::from_secs(1);

fn audience(text: &str) -> Audience {
    Audience::parse(text).unwrap()
}

fn verifier(world: &World, of: &str) -> TicketVerifier {
    TicketVerifier::new(&*world.rsa, world.cloud.server_public_key(), audience(of)).unwrap()
}

async fn issue(world: &World, session: &Session, of: &str) -> String {
    let issued = world.cloud.issue_ticket(session, &audience(of)).await;
    issued.unwrap().ticket.expose().to_owned()
}

/// The three parts of a ticket.
fn parts(ticket: &str) -> [&str; 3] {
    let parts: Vec<_> = ticket.split('.').collect();
    parts.try_into().unwrap()
}

#[tokio::test]
async fn a_ticket_says_whose_session_it_is_and_only_to_its_audience() {
    let world = World::toy();
    let hugo = world.session_of_new("hugo").await;
    let erna = world.session_of_new("erna").await;
    let photos = verifier(&world, "https://photos.example");
    let mail = verifier(&world, "mail");
    let now = given::at(0);
    for (session, name) in [(&hugo, "hugo"), (&erna, "erna")] {
        let issued = world.cloud.issue_ticket(session, photos.audience()).await;
        let issued = issued.unwrap();
        assert_eq!(format!("{:?}", issued.ticket), "Ticket(..)");
        let verified = photos.verify(issued.ticket.expose(), now).unwrap();
        assert_eq!(verified.user.as_str(), name);
        assert_eq!(verified.issued_at, now);
        assert_eq!(verified.expires_at, issued.expires_at);
        assert_eq!(issued.expires_at, given::at(300));
        let refused = mail.verify(issued.ticket.expose(), now);
        assert_eq!(refused, Err(InvalidTicket::OtherAudience));
    }
    let [one, other] = [
        issue(&world, &hugo, "mail").await,
        issue(&world, &hugo, "mail").await,
    ];
    let id = |ticket: &str| mail.verify(ticket, now).unwrap().id;
    assert_ne!(id(&one), id(&other));
}

#[tokio::test]
async fn a_ticket_is_good_until_it_expires_whatever_becomes_of_the_session() {
    let world = World::toy();
    let device = world.user("hugo").await;
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    // In the middle of a second, which the ticket doesn't tell.
    world.clock.advance(Duration::from_millis(700));
    let ticket = issue(&world, &session, "mail").await;
    world.cloud.logout(&session).await.unwrap();
    assert!(!world.lives(&token).await);

    let mail = verifier(&world, "mail");
    let (issued, expires) = (given::at(0), given::at(300));
    let leeway = TicketVerifier::LEEWAY;
    let at = |moment: Timestamp| mail.verify(&ticket, moment).map(|verified| verified.user);
    for good in [
        issued.saturating_sub(leeway),
        issued,
        expires,
        expires.saturating_add(leeway - MOMENT),
    ] {
        assert_eq!(at(good).unwrap().as_str(), "hugo", "{good}");
    }
    let early = issued.saturating_sub(leeway + MOMENT);
    for early in [early, Timestamp::from_unix_millis(i64::MIN)] {
        assert_eq!(at(early), Err(InvalidTicket::NotYetValid), "{early}");
    }
    let late = expires.saturating_add(leeway);
    for late in [late, Timestamp::from_unix_millis(i64::MAX)] {
        assert_eq!(at(late), Err(InvalidTicket::Expired), "{late}");
    }
}

#[tokio::test]
async fn the_operator_says_how_long_tickets_are_good_for_up_to_an_hour() {
    let with = |lifetime| {
        let mut settings: Settings = settings();
        settings.ticket_lifetime = lifetime;
        settings
    };
    for lifetime in [SECOND, Ticket::MAX_LIFETIME] {
        let world = World::with(with(lifetime));
        let session = world.session_of_new("hugo").await;
        let ticket = issue(&world, &session, "mail").await;
        let verified = verifier(&world, "mail")
            .verify(&ticket, given::at(0))
            .unwrap();
        assert_eq!(verified.expires_at, given::at(0).saturating_add(lifetime));
    }
    for wrong in [
        Duration::ZERO,
        SECOND - MOMENT,
        Ticket::MAX_LIFETIME + SECOND,
    ] {
        let store = std::sync::Arc::new(MemoryStore::new());
        let built = Cloud::builder(store, ServerKey::generate(Toy::new()).unwrap())
            .settings(with(wrong))
            .build();
        assert!(
            matches!(built, Err(Error::InvalidTicketLifetime)),
            "{wrong:?}"
        );
    }
}

#[tokio::test]
async fn a_ticket_costs_one_signature_and_who_guesses_tokens_gets_none() {
    let world = World::with(strict());
    let session = world.session_of_new("hugo").await;
    let (signed, decrypted) = (world.rsa.signed(), world.rsa.decrypted());
    issue(&world, &session, "mail").await;
    assert_eq!(world.rsa.signed(), signed + 1);
    let here = world.at_address("192.0.2.1");
    for n in 0..6 {
        assert_eq!(code(here.session(&bad_token(n)).await), "unknown_token");
    }
    assert_eq!(world.rsa.decrypted(), decrypted + 6);
    let mail = audience("mail");
    assert_eq!(code(here.issue_ticket(&session, &mail).await), "throttled");
    assert_eq!(world.rsa.signed(), signed + 1);
    issue(&world, &session, "mail").await;
}

#[tokio::test]
async fn every_changed_character_is_refused() {
    let world = World::real();
    let session = world.session_of_new("hugo").await;
    let ticket = issue(&world, &session, "https://photos.example").await;
    let photos = verifier(&world, "https://photos.example");
    let now = given::at(0);
    photos.verify(&ticket, now).unwrap();
    let refused = |text: &str| match photos.verify(text, now).unwrap_err() {
        InvalidTicket::Malformed | InvalidTicket::OtherFormat | InvalidTicket::BadSignature => {}
        error => panic!("{error:?}: {text}"),
    };
    for at in 0..ticket.len() {
        for bit in 0..7 {
            let mut bytes = ticket.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            refused(&String::from_utf8(bytes).unwrap());
        }
        refused(&ticket[..at]);
        refused(&ticket[at + 1..]);
    }
    let [header, claims, signature] = parts(&ticket);
    for text in [
        format!("{ticket}."),
        format!(".{ticket}"),
        format!("{ticket}A"),
        format!("{ticket}="),
        format!(" {ticket}"),
        format!("{ticket}\n"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{claims}.{signature}"),
        format!("{header}.{claims}.{signature}{}", "A".repeat(4096)),
    ] {
        refused(&text);
    }
}

#[tokio::test]
async fn another_servers_ticket_is_refused() {
    let (world, other) = (World::real(), World::toy());
    let session = other.session_of_new("hugo").await;
    let ticket = issue(&other, &session, "mail").await;
    let refused = verifier(&world, "mail").verify(&ticket, given::at(0));
    assert_eq!(refused, Err(InvalidTicket::BadSignature));
}

#[tokio::test]
async fn the_longest_ticket_is_not_too_long() {
    let pem = include_str!("../keys/rsa8192.pem");
    let rsa = World::real().rsa;
    let key = ServerKey::from_pem(rsa.clone(), pem).unwrap();
    let world = World::build(rsa, key, settings());
    let session = world.session_of_new(&"n".repeat(30)).await;
    let longest = "a".repeat(Audience::MAX_LENGTH);
    let ticket = issue(&world, &session, &longest).await;
    assert!(ticket.len() <= Ticket::MAX_LENGTH, "{}", ticket.len());
    let verified = verifier(&world, &longest).verify(&ticket, given::at(0));
    assert_eq!(verified.unwrap().user.as_str().len(), 30);
}

/// See the documentation of the module: two reasons, each of which suffices.
#[tokio::test]
async fn no_ticket_is_good_as_a_challenge_and_no_challenge_as_a_ticket() {
    let world = World::real();
    let device = world.user("hugo").await;
    let name = given::name("hugo");
    let challenge = world.cloud.authenticate(&name, &device.key_hash()).await;
    let challenge = challenge.unwrap();
    let server = world.cloud.server_public_key();
    let token = device.answer(&challenge, server).unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let ticket = issue(&world, &session, "mail").await;
    let (signed, signature) = ticket.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let of_challenge = STANDARD.decode(&challenge.signature).unwrap();

    // What is signed is never the same text ...
    assert!(!challenge.encrypted_token.contains('.'));
    assert_eq!(signed.matches('.').count(), 1);
    // ... and the signature of neither is one of the other's kind, over whatever text.
    let public = world.rsa.public_key(server).unwrap();
    let text = challenge.encrypted_token.as_bytes();
    public.verify_pss_sha256(text, &of_challenge).unwrap();
    public.verify_ps256(text, &of_challenge).unwrap_err();
    public.verify_ps256(signed.as_bytes(), &signature).unwrap();
    public
        .verify_pss_sha256(signed.as_bytes(), &signature)
        .unwrap_err();

    // A device doesn't answer to a ticket, nor to a challenge that one was made of.
    for text in [signed, &challenge.encrypted_token] {
        let made_of_it = Challenge {
            encrypted_token: text.to_owned(),
            signature: STANDARD.encode(&signature),
        };
        let answered = device.answer(&made_of_it, server);
        assert_eq!(answered.unwrap_err(), ChallengeError::BadSignature);
    }
    // A service doesn't accept what was made of a challenge.
    let mail = verifier(&world, "mail");
    let [header, claims, _] = parts(&ticket);
    let of_challenge = URL_SAFE_NO_PAD.encode(of_challenge);
    for text in [
        format!("{}.{of_challenge}", challenge.encrypted_token),
        format!("{header}.{}.{of_challenge}", challenge.encrypted_token),
        format!("{header}.{claims}.{of_challenge}"),
    ] {
        mail.verify(&text, given::at(0)).unwrap_err();
    }
    // A request token is no ticket, nor the other way round.
    mail.verify(token.expose(), given::at(0)).unwrap_err();
    let as_token = pinyto_core::challenge::RequestToken::new(ticket);
    assert_eq!(code(world.cloud.session(&as_token).await), "unknown_token");
}

#[tokio::test]
async fn who_asks_learns_her_name_and_the_key_of_her_session() {
    let world = World::toy();
    let device = world.user("hugo").await;
    let other = world.device();
    let token = world.login("hugo", &device).await.unwrap();
    let session = world.cloud.session(&token).await.unwrap();
    let new = crate::support::new_key(other.public_key(), None);
    world.cloud.register_new_key(&session, &new).await.unwrap();
    world.clock.advance(60 * SECOND);
    let of_other = world.login("hugo", &other).await.unwrap();
    world.clock.advance(60 * SECOND);
    for (token, key, opened) in [(&token, &device, 0), (&of_other, &other, 60)] {
        let claim = world.cloud.claim(token).await.unwrap();
        let who = world.cloud.who_am_i(claim).await.unwrap();
        assert_eq!(who.user.as_str(), "hugo");
        assert_eq!(who.key, key.public_key().fingerprint());
        assert_eq!(who.created_at, given::at(opened));
        assert_eq!(who.last_used_at, given::at(120));
    }
    world.cloud.logout(&session).await.unwrap();
    assert_eq!(code(world.cloud.who_am_i(&session).await), "unknown_token");
    // Another session of hers ends with its key.
    let session = world.cloud.session(&of_other).await.unwrap();
    let hash = other.key_hash();
    world.cloud.delete_key(&session, &hash).await.unwrap();
    assert_eq!(code(world.cloud.who_am_i(&session).await), "unknown_token");
}

fn toy_verifier() -> TicketVerifier {
    let toy = Toy::new();
    let key = ServerKey::generate(toy.clone()).unwrap();
    TicketVerifier::new(&*toy, key.public_key(), audience("mail")).unwrap()
}

proptest! {
    #[test]
    fn whatever_is_sent_is_refused(text in any::<String>(), like in r"[-A-Za-z0-9_.=]{0,300}") {
        let verifier = toy_verifier();
        let header = "eyJhbGciOiJQUzI1NiIsInR5cCI6InBpbnl0by10aWNrZXQrand0In0";
        let dressed_up = format!("{header}.{like}");
        for text in [&text, &like, &dressed_up] {
            prop_assert!(verifier.verify(text, given::at(0)).is_err());
        }
    }
}
