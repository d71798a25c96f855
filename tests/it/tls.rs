//! TLS against a server on a real socket, with certificates made for the test.

use crate::support::Outside;
use crate::support::authority::{Authority, Identity};
use bench::diag::{Diagnostics, SourceText};
use bench::engine::ports::{Call, Client, Exchange, RunClock, Slot, Target};
use bench::http::{HttpTarget, TcpConnect, TlsClient};
use bench::plan::{self, Captured, Facts, Plan, TargetAddress};
use bench::record::{Cause, Outcome};
use bench::scenario;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What the server asks of its clients.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    Tls12,
    ClientCertificate,
}

/// Serves `200 ok` over TLS to one request on each connection.
fn serve(authority: &Authority, name: &str, asks: Asks) -> SocketAddr {
    serve_as(&authority.sign(name), authority, asks)
}

/// The same with a certificate that is at hand.
fn serve_as(identity: &Identity, authority: &Authority, asks: Asks) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions: &[_] = if asks == Asks::Tls12 {
        &[&rustls::version::TLS12]
    } else {
        rustls::ALL_VERSIONS
    };
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let config = if asks == Asks::ClientCertificate {
        let roots = Arc::new(authority.roots.clone());
        config.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(roots, provider)
                .build()
                .unwrap(),
        )
    } else {
        config.with_no_client_auth()
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let config = config
        .with_single_cert(vec![identity.certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, socket);
            let mut request = [0; 4096];
            // A client that does not agree is its own outcome.
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
                let _ = stream.read(&mut request);
            }
        }
    });
    address
}

fn plan_of(address: SocketAddr, tls: &str, files: &[(&str, &str)]) -> Plan {
    let text = format!(
        r#"
name = "tls"
[target]
url = "https://localhost:{port}"
{tls}
[request.get]
path = "/"
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#,
        port = address.port()
    );
    compiled(text, files).unwrap()
}

fn compiled(text: String, files: &[(&str, &str)]) -> Result<Plan, Diagnostics> {
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    let source = SourceText::new("test.toml", text);
    let (scenario, found) = scenario::parse(&source, &Outside(files));
    assert!(!found.has_errors(), "{found}");
    let facts = Facts {
        data_files: BTreeMap::new(),
        cores: 1,
    };
    plan::compile(&scenario, &facts, 1)
}

/// One request to the server under a scenario's `tls`.
fn ask(address: SocketAddr, tls: &str, files: &[(&str, &str)]) -> Exchange {
    let plan = plan_of(address, tls, files);
    let TargetAddress::Http(url) = plan.target.address.clone() else {
        panic!("the target is a URL");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = TlsClient::new(
            plan.target.tls.as_ref().unwrap(),
            &url.host,
            plan.target.protocol,
        )
        .unwrap();
        // The name stands in the certificate; the address is where the server listens.
        let connect = TcpConnect::resolve("127.0.0.1", url.port)
            .await
            .unwrap()
            .with_tls(client);
        let target = HttpTarget::new(&plan, &url, connect).unwrap();
        let mut slot = target.client().open();
        let mut random = Pcg64Mcg::seed_from_u64(1);
        slot.exchange(Call {
            captured: &mut Captured::nothing(),
            token_events: &std::cell::Cell::new(0),
            request: 0,
            number: 0,
            random: &mut random,
            deadline_ns: 60_000_000_000,
            clock: RunClock::start(),
        })
        .await
    })
}

fn cause(exchange: &Exchange) -> Option<Cause> {
    exchange.failure.as_ref().map(|failure| failure.cause)
}

const OWN_CA: &str = r#"tls = { ca = "${file:ca.pem}" }"#;

#[test]
fn a_server_of_ones_own_authority_is_trusted_and_the_step_is_timed() {
    let authority = Authority::new();
    let address = serve(&authority, "localhost", Asks::Nothing);
    let exchange = ask(address, OWN_CA, &[("ca.pem", &authority.pem)]);
    assert_eq!(exchange.outcome, Outcome::Ok, "{:?}", exchange.failure);
    let steps = exchange.steps();
    assert!(steps.tcp_ns.is_some() && steps.tls_ns.is_some());
    // Records hide which bytes the kernel stamped: nothing is claimed.
    assert_eq!(exchange.received_ns, None);
    assert_eq!(steps.client_queue_ns, None);
}

#[test]
fn a_server_that_nobody_vouches_for_is_refused_unless_the_scenario_says_so() {
    let authority = Authority::new();
    let address = serve(&authority, "localhost", Asks::Nothing);
    let stranger = Authority::new();
    let refused = ask(address, OWN_CA, &[("ca.pem", &stranger.pem)]);
    assert_eq!(refused.outcome, Outcome::Connect);
    assert_eq!(cause(&refused), Some(Cause::Tls));
    let accepted = ask(address, "tls = { insecure = true }", &[]);
    assert_eq!(accepted.outcome, Outcome::Ok, "{:?}", accepted.failure);
}

#[test]
fn a_self_signed_certificate_is_trusted_where_the_scenario_names_it() {
    let authority = Authority::new();
    let identity = Identity::self_signed("localhost");
    let address = serve_as(&identity, &authority, Asks::Nothing);
    let pem = identity.certificate.pem();
    let named = ask(address, OWN_CA, &[("ca.pem", &pem)]);
    assert_eq!(named.outcome, Outcome::Ok, "{:?}", named.failure);
    // Its name counts, and another one that may sign is not the same.
    let other_name = r#"tls = { ca = "${file:ca.pem}", server_name = "inference.example" }"#;
    let other_name = ask(address, other_name, &[("ca.pem", &pem)]);
    assert_eq!(cause(&other_name), Some(Cause::Tls));
    let twin = Identity::self_signed("localhost").certificate.pem();
    let refused = ask(address, OWN_CA, &[("ca.pem", &twin)]);
    assert_eq!(cause(&refused), Some(Cause::Tls));
    let detail = refused.failure.unwrap().detail;
    assert!(detail.contains("name it: tls = {"), "{detail}");
}

#[test]
fn the_certificate_must_carry_the_name_that_is_expected() {
    let authority = Authority::new();
    let address = serve(&authority, "inference.example", Asks::Nothing);
    let files: &[(&str, &str)] = &[("ca.pem", &authority.pem)];
    let other_name = ask(address, OWN_CA, files);
    assert_eq!(cause(&other_name), Some(Cause::Tls));
    let named = ask(
        address,
        r#"tls = { ca = "${file:ca.pem}", server_name = "inference.example" }"#,
        files,
    );
    assert_eq!(named.outcome, Outcome::Ok, "{:?}", named.failure);
}

#[test]
fn an_older_version_than_allowed_is_refused() {
    let authority = Authority::new();
    let address = serve(&authority, "localhost", Asks::Tls12);
    let files: &[(&str, &str)] = &[("ca.pem", &authority.pem)];
    assert_eq!(ask(address, OWN_CA, files).outcome, Outcome::Ok);
    let tls = r#"tls = { ca = "${file:ca.pem}", min_version = "1.3" }"#;
    assert_eq!(cause(&ask(address, tls, files)), Some(Cause::Tls));
}

#[test]
fn a_client_shows_its_certificate_where_one_is_asked_for() {
    let authority = Authority::new();
    let address = serve(&authority, "localhost", Asks::ClientCertificate);
    let own = authority.sign("client");
    let (certificate, key) = (own.certificate.pem(), own.key.serialize_pem());
    let files: &[(&str, &str)] = &[
        ("ca.pem", &authority.pem),
        ("client.pem", &certificate),
        ("client.key", &key),
    ];
    assert_ne!(ask(address, OWN_CA, files).outcome, Outcome::Ok);
    let tls = r#"tls = { ca = "${file:ca.pem}", certificate = "${file:client.pem}", key = "${file:client.key}" }"#;
    let known = ask(address, tls, files);
    assert_eq!(known.outcome, Outcome::Ok, "{:?}", known.failure);
    // The key is a secret like any other.
    assert!(
        plan_of(address, tls, files)
            .secrets
            .contains(&key.trim_end().to_owned())
            || plan_of(address, tls, files).secrets.contains(&key)
    );
}

#[test]
fn a_path_in_the_place_of_a_certificate_is_told_before_any_load() {
    let text = r#"
name = "tls"
[target]
url = "https://localhost:8443"
tls = { ca = "ca.pem", certificate = "me.pem", key = "me.key" }
[request.get]
path = "/"
[[phase]]
name = "only"
concurrency = 1
duration = "2s"
"#;
    let found = compiled(text.to_owned(), &[]).unwrap_err();
    let found: Vec<String> = found
        .in_text_order()
        .iter()
        .map(|found| format!("{} {}", found.message, found.hints.join(" ")))
        .collect();
    let found = found.join("\n");
    for (key, hint) in [
        ("ca", "ca = \"${file:path/to/ca.pem}\""),
        (
            "certificate",
            "certificate = \"${file:path/to/certificate.pem}\"",
        ),
        ("key", "key = \"${file:path/to/key.pem}\""),
    ] {
        assert!(found.contains(&format!("`{key}` is PEM text")), "{found}");
        assert!(found.contains(hint), "{found}");
    }
    assert!(!found.contains("me.key"), "{found}");
}
