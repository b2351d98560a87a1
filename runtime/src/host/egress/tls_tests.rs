//! HTTPS: who is trusted, and that nothing has left before the other side is known.
//!
//! `tls/` holds a root for `here.test`, its certificate and its key, good for a hundred years and for nothing else.

use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::{tests::*, *};

const ROOT: &[u8] = include_bytes!("tls/ca.der");
const LEAF: &[u8] = include_bytes!("tls/leaf.der");
const KEY: &[u8] = include_bytes!("tls/leaf.key.der");

/// Answers every request over TLS as `here.test`; the port.
async fn participant() -> u16 {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(LEAF)], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut heard = [0; 4096];
                if stream.read(&mut heard).await.is_ok() {
                    stream.write_all(OK.as_bytes()).await.unwrap();
                }
            }
        }
    });
    port
}

async fn post(host: &str, port: u16, roots: Vec<CertificateDer<'static>>) -> (Result<u16, Error>, amends_core::outcome::Left) {
    let url = format!("https://{host}:{port}");
    let mut attempt = Attempt::at(&Gate::new(&Limits::default(), names(), roots), facts(&[(&url, true)]));
    let answered = attempt.send(request("POST", &url)).await.unwrap();
    (answered.map(|(status, _)| status.as_u16()), attempt.left().await)
}

#[tokio::test]
async fn a_participant_is_known_by_its_certificate_before_anything_leaves() {
    use amends_core::outcome::Left;
    let port = participant().await;
    let ours = || vec![CertificateDer::from(ROOT)];
    assert!(matches!(post("here.test", port, ours()).await, (Ok(200), Left::Answered)));
    // The certificate is for another name; or nobody vouches for it.
    assert!(matches!(post("rebinds.test", port, ours()).await, (Err(Error::TlsCertificateError), Left::Nothing)));
    assert!(matches!(post("here.test", port, Vec::new()).await, (Err(Error::TlsCertificateError), Left::Nothing)));
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_an_error_and_nothing_has_left() {
    use amends_core::outcome::Left;
    let plain = Participant::start(&["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"]);
    let (answered, left) = post("here.test", plain.address.port(), Vec::new()).await;
    assert!(matches!(answered, Err(Error::TlsProtocolError | Error::ConnectionTimeout)), "{answered:?}");
    assert_eq!(left, Left::Nothing);
}
