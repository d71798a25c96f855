//! HTTP/2 over TLS: agreed on by ALPN, or not spoken.

use crate::support::authority::Authority;
use crate::support::http2_service::Http2Service;
use crate::support::memory::ms;
use crate::support::program::Bench;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A server whose handshake offers these protocols.
fn acceptor(authority: &Authority, protocols: &[&[u8]]) -> TlsAcceptor {
    let identity = authority.sign("localhost");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|one| one.to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// The program against the service behind TLS.
fn bench_against(service: &Http2Service, acceptor: TlsAcceptor, tls: &str, pem: &str) -> Bench {
    let port = service.listen_with(Some(acceptor)).port();
    let bench = Bench::with(&format!(
        r#"
name = "tls"
[target]
url = "https://localhost:{port}"
http = "2"
tls = {{ {tls} }}
[request.one]
path = "/"
[[phase]]
name = "only"
concurrency = 12
duration = "3s"
gates = ["response.p50 < 5s"]
[telemetry]
gpu = "none"
"#
    ));
    bench.write("ca.pem", pem);
    bench
}

const OWN_CA: &str = "ca = \"${file:ca.pem}\"";

#[test]
fn it_is_agreed_on_in_the_handshake() {
    let authority = Authority::new();
    let service = Http2Service::answering_after(ms(5));
    let acceptor = acceptor(&authority, &[b"http/1.1", b"h2"]);
    let bench = bench_against(&service, acceptor, OWN_CA, &authority.pem);
    bench.run(&["run", "scenario.toml"]).gives_a_verdict();
    let run = bench.run_json();
    let phase = &run["phases"][0];
    // And the one of the preflight.
    let ok = phase["requests"]["ok"].as_u64().unwrap();
    assert_eq!(phase["requests"]["planned"], ok);
    assert_eq!(service.requests(), ok + 1);
    assert!(service.most_at_once() > 1);
    // Each connection's handshake is in the books: those of the workers, at most one for each.
    let opened = phase["connections"]["opened"].as_u64().unwrap();
    assert_eq!(opened + 1, service.connections());
    assert!(
        phase["steps"]["tls"]["p50_ms"].as_f64().unwrap() > 0.0,
        "{}",
        phase["steps"]
    );
}

#[test]
fn a_target_that_does_not_agree_is_told_apart_before_any_load() {
    let authority = Authority::new();
    // One refuses in the handshake, the other knows nothing of the negotiation.
    for protocols in [&[b"http/1.1".as_slice()][..], &[]] {
        let service = Http2Service::default();
        let acceptor = acceptor(&authority, protocols);
        let bench = bench_against(&service, acceptor, OWN_CA, &authority.pem);
        let said = bench.run(&["run", "scenario.toml"]).exits(3);
        let all = said.stdout + &said.stderr;
        assert!(
            all.contains("over TLS the target does not agree to HTTP/2; set `http = \"1.1\"`"),
            "{all}"
        );
        assert_eq!(service.requests(), 0);
    }
}

#[test]
fn a_certificate_that_is_not_checked_stands_in_every_view() {
    let authority = Authority::new();
    let service = Http2Service::default();
    let acceptor = acceptor(&authority, &[b"h2"]);
    let bench = bench_against(&service, acceptor, "insecure = true", "");
    let checked = bench.run(&["check", "scenario.toml"]).exits(0);
    let warning = "the target's certificate will not be checked";
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
    let said = bench.judged(&["run", "scenario.toml"]).exits(0);
    let doubt = "certificate was not checked";
    assert!(said.stdout.contains(doubt), "{}", said.stdout);
    for view in ["report.html", "summary.md", "journal.jsonl"] {
        let text = bench.read(view);
        let there = text.contains(doubt) || text.contains("unchecked_certificate");
        assert!(there, "{view}");
    }
    let doubts = bench.run_json()["doubts"].to_string();
    assert!(
        doubts.contains("unchecked_certificate") || doubts.contains(doubt),
        "{doubts}"
    );
    // It does not forbid a verdict.
    assert_eq!(bench.run_json()["verdict"], "PASS");
}
