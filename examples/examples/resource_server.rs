//! A service of its own, with its own data, that takes the users of a Pinyto server: each request has a
//! ticket that says whose it is. The service knows nothing of Pinyto but the server's public key, and
//! asks it nothing. Here both run in one program; nothing but that key is shared.
//!
//!     cargo run --release --ignore-rust-version -p pinyto-examples --example resource_server
//!     curl localhost:8080/keyserver/register -d '{"username": "ada", "password": "correct horse"}'
//!     curl localhost:8080/keyserver/authenticate -d '{"username": "ada", "password": "correct horse"}'
//!     curl localhost:8080/ticket -d '{"token": "...", "audience": "https://photos.example"}'
//!     curl localhost:8081/photos -H 'Authorization: Bearer <ticket>' -d 'sunset.jpg'
//!     curl localhost:8081/photos -H 'Authorization: Bearer <ticket>'

use std::{
    collections::HashMap,
    error::Error,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::{
        HeaderName, StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
        request::Parts,
    },
    routing::get,
};
use pinyto_core::{
    Cloud,
    challenge::ServerKey,
    clock::{Clock, SystemClock},
    crypto::default_backend,
    key::PublicKey,
    memory::MemoryStore,
    ticket::{Audience, TicketVerifier},
    user::UserName,
};
use pinyto_http::Api;
use tokio::net::TcpListener;

/// What clients ask tickets for: the name of this service, whatever address it has.
const AUDIENCE: &str = "https://photos.example";

/// The most photos of one user.
const MOST: usize = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cloud = cloud()?;
    // What the operator of the service has copied once from `GET /public_key`, and keeps in a file.
    let pinned = cloud.server_public_key().to_pem();
    let photos = Photos::new(&pinned, Arc::new(SystemClock))?;
    let of_pinyto = TcpListener::bind(("127.0.0.1", 8080)).await?;
    let own = TcpListener::bind(("127.0.0.1", 8081)).await?;
    tokio::try_join!(serve(of_pinyto, pinyto(cloud)), serve(own, app(photos)))?;
    Ok(())
}

/// The Pinyto server. A real one keeps its key, and its data in a store of `pinyto-store`.
fn cloud() -> Result<Cloud, Box<dyn Error>> {
    let key = ServerKey::generate(default_backend())?;
    Ok(Cloud::builder(Arc::new(MemoryStore::new()), key).build()?)
}

fn pinyto(cloud: Cloud) -> Router {
    Router::new().fallback_service(pinyto_http::service(Api::new(cloud)))
}

async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
    axum::serve(listener, app).await
}

/// The service: whose photos there are.
struct Photos {
    tickets: TicketVerifier,
    clock: Arc<dyn Clock>,
    kept: Mutex<HashMap<UserName, Vec<String>>>,
}

impl Photos {
    fn new(pinned: &str, clock: Arc<dyn Clock>) -> Result<Arc<Self>, Box<dyn Error>> {
        let server = PublicKey::from_pem(pinned)?;
        let audience = Audience::parse(AUDIENCE)?;
        Ok(Arc::new(Self {
            tickets: TicketVerifier::new(&*default_backend(), &server, audience)?,
            clock,
            kept: Mutex::default(),
        }))
    }

    fn of<T>(&self, user: UserName, use_them: impl FnOnce(&mut Vec<String>) -> T) -> T {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        use_them(kept.entry(user).or_default())
    }
}

fn app(photos: Arc<Photos>) -> Router {
    Router::new()
        .route("/photos", get(list).post(add))
        .layer(DefaultBodyLimit::max(1024))
        .with_state(photos)
}

async fn list(State(photos): State<Arc<Photos>>, Visitor(user): Visitor) -> String {
    photos.of(user, |hers| hers.join("\n") + "\n")
}

async fn add(
    State(photos): State<Arc<Photos>>,
    Visitor(user): Visitor,
    name: String,
) -> Result<&'static str, (StatusCode, &'static str)> {
    photos.of(user, |hers| {
        if hers.len() >= MOST {
            return Err((StatusCode::CONFLICT, "You have too many photos.\n"));
        }
        hers.push(name);
        Ok("Kept.\n")
    })
}

/// Who asks: the user whose ticket `Authorization: Bearer` has.
struct Visitor(UserName);

/// As RFC 6750 wants it.
type Refusal = (StatusCode, [(HeaderName, &'static str); 1], String);

fn refusal(challenge: &'static str, sentence: String) -> Refusal {
    let header = [(WWW_AUTHENTICATE, challenge)];
    (StatusCode::UNAUTHORIZED, header, sentence)
}

impl FromRequestParts<Arc<Photos>> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, photos: &Arc<Photos>) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION);
        let ticket = header
            .and_then(|header| header.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, ticket)| ticket.trim());
        let ticket =
            ticket.ok_or_else(|| refusal("Bearer", format!("Send a ticket for {AUDIENCE}.\n")))?;
        // About a millisecond or less, so it needs no thread of its own.
        match photos.tickets.verify(ticket, photos.clock.now()) {
            Ok(verified) => Ok(Self(verified.user)),
            Err(error) => Err(refusal(
                "Bearer error=\"invalid_token\"",
                format!("{}: {error}\n", error.code()),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicI64, Ordering},
        time::Duration,
    };

    use pinyto_core::{clock::Timestamp, keyserver::Password};
    use serde_json::{Value, json};

    use super::*;

    /// Runs ahead of the operating system's.
    #[derive(Default)]
    struct Ahead(AtomicI64);

    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            let ahead = self.0.load(Ordering::SeqCst);
            Timestamp::from_unix_millis(SystemClock.now().unix_millis() + ahead)
        }
    }

    async fn started(app: Router) -> String {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, app));
        url
    }

    /// The request token of a new user.
    async fn logged_in(cloud: &Cloud, name: &str) -> String {
        let (name, password) = (UserName::parse(name).unwrap(), "correct horse");
        let chosen = Password::choose(password).unwrap();
        cloud
            .keyserver_register(name.clone(), chosen)
            .await
            .unwrap();
        let attempt = Password::attempt(password);
        let token = cloud.keyserver_authenticate(&name, attempt).await.unwrap();
        token.expose().to_owned()
    }

    fn ticket(pinyto: &str, token: &str, audience: &str) -> String {
        let body = json!({"token": token, "audience": audience});
        let mut answer = ureq::post(format!("{pinyto}/ticket"))
            .send_json(body)
            .unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        answer["ticket"].as_str().unwrap().to_owned()
    }

    fn answer(asked: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
        let mut answer = asked.unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), text)
    }

    fn photos(service: &str, authorization: &str) -> (u16, String) {
        let request = ureq::get(format!("{service}/photos"));
        let request = request.header("authorization", authorization);
        let request = request.config().http_status_as_error(false).build();
        answer(request.call())
    }

    /// The code of the refusal.
    fn refused(service: &str, ticket: &str) -> String {
        let (status, text) = photos(service, &format!("Bearer {ticket}"));
        assert_eq!(status, 401, "{text}");
        text.split(':').next().unwrap().to_owned()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_has_a_good_ticket_for_the_service_gets_at_her_photos_and_nobody_else() {
        let cloud = cloud().unwrap();
        let clock = Arc::new(Ahead::default());
        let pinned = cloud.server_public_key().to_pem();
        let own = Photos::new(&pinned, clock.clone()).unwrap();
        let (ada, bob) = (
            logged_in(&cloud, "ada").await,
            logged_in(&cloud, "bob").await,
        );
        let (pinyto, service) = (started(pinyto(cloud)).await, started(app(own)).await);
        let asking = tokio::task::spawn_blocking(move || {
            let of_ada = ticket(&pinyto, &ada, AUDIENCE);
            let of_bob = ticket(&pinyto, &bob, AUDIENCE);
            let kept = ureq::post(format!("{service}/photos"))
                .header("authorization", format!("Bearer {of_ada}"))
                .send("sunset.jpg");
            assert_eq!(answer(kept).0, 200);
            let hers = photos(&service, &format!("Bearer {of_ada}"));
            assert_eq!(hers, (200, "sunset.jpg\n".to_owned()));
            let his = photos(&service, &format!("Bearer {of_bob}"));
            assert_eq!(his, (200, "\n".to_owned()));

            let elsewhere = ticket(&pinyto, &ada, "https://mail.example");
            assert_eq!(refused(&service, &elsewhere), "ticket_for_other_audience");
            // Ada's name with Bob's signature; a ticket whose signature ends otherwise.
            let (signed, _) = of_ada.rsplit_once('.').unwrap();
            let (_, signature) = of_bob.rsplit_once('.').unwrap();
            let exchanged = format!("{signed}.{signature}");
            assert_eq!(refused(&service, &exchanged), "ticket_bad_signature");
            let end = if of_ada.ends_with("AA") { "gA" } else { "AA" };
            let changed = format!("{}{end}", &of_ada[..of_ada.len() - 2]);
            assert_eq!(refused(&service, &changed), "ticket_bad_signature");
            // What Pinyto itself takes is not taken here, so nobody needs to send it.
            assert_eq!(refused(&service, &ada), "ticket_malformed");
            for nothing in ["", "Basic YTpi", &of_ada] {
                assert_eq!(photos(&service, nothing).0, 401, "{nothing}");
            }

            let ten_minutes = i64::try_from(Duration::from_secs(600).as_millis()).unwrap();
            clock.0.store(ten_minutes, Ordering::SeqCst);
            assert_eq!(refused(&service, &of_ada), "ticket_expired");
        });
        asking.await.unwrap();
    }
}
