//! Webhooks over https: to receivers whose certificate the process has a reason to believe, and to no others.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parlance_mock_llm::Script;
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};

use crate::support::{World, eventually};

/// A receiver under TLS, with a certificate for localhost that nobody signed but itself.
struct HttpsReceiver {
    address: SocketAddr,
    certificate: PathBuf,
    calls: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    _folder: tempfile::TempDir,
}

impl HttpsReceiver {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificate = make_certificate(folder.path());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![CertificateDer::from_pem_file(&certificate).unwrap()];
        let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (count, kept) = (Arc::clone(&calls), Arc::clone(&requests));
        // It ends with the process.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(request) = answer(stream, Arc::clone(&config)) {
                    kept.lock().unwrap().push(request);
                }
            }
        });
        Self { address, certificate, calls, requests, _folder: folder }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/hook", self.address.port())
    }
}

/// The request, if the caller believes the certificate.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let expected = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
        if body.len() >= expected {
            stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").ok()?;
            stream.conn.send_close_notify();
            stream.flush().ok()?;
            return Some(text);
        }
    }
}

fn make_certificate(folder: &Path) -> PathBuf {
    const REQUEST: &str = "[req]\ndistinguished_name=name\nx509_extensions=server\nprompt=no\n[name]\nCN=localhost\n\
        [server]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost\n";
    let [request, key, certificate] = ["request.cnf", "key.pem", "certificate.pem"].map(|name| folder.join(name));
    std::fs::write(&request, REQUEST).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.arg("-config").arg(request).arg("-keyout").arg(key).arg("-out").arg(&certificate);
    let output = openssl.output().expect("openssl is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    certificate
}

/// An authority of the deployment's own is told by `SSL_CERT_FILE`; without it a delivery is tried again, then is a dead letter
/// that says why, and can be redriven once the authority is known.
#[tokio::test]
async fn a_receiver_is_told_if_its_certificate_is_known_and_only_then() {
    let receiver = HttpsReceiver::start();
    let world = World::new(Script::default()).with("WEBHOOK_ALLOW_PRIVATE", "on").with("WEBHOOK_RETRY_BUDGET", "3s");
    let server = world.start().await;
    let body = json!({"content": "hello", "webhook_url": receiver.url()});
    let accepted = server.post("/v1/messages", &body).await.expect(202);
    let letter = world.letters("--subscription webhooks", 1).await.remove(0);
    assert_eq!(letter["reason"]["code"], "webhook_undeliverable", "{letter}");
    assert!(letter["reason"].to_string().contains("certificate"), "{letter}");
    assert!(letter["attempts"].as_u64() >= Some(2), "{letter}");
    assert!(receiver.calls.load(Ordering::SeqCst) >= 2, "it was tried once");
    assert!(receiver.requests.lock().unwrap().is_empty(), "it was told although nobody knows who it is");
    server.stop().await;

    let world = world.with("SSL_CERT_FILE", receiver.certificate.to_str().unwrap());
    let server = world.start().await;
    let done = world.operate_json("dead-letters redrive --subscription webhooks --all --yes").await;
    assert_eq!(done["redriven"], 1, "{done}");
    let request = eventually("the delivery", async || receiver.requests.lock().unwrap().first().cloned()).await;
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("POST /hook HTTP/1.1") && head.to_ascii_lowercase().contains("webhook-signature: v1,"),
        "{head}"
    );
    let told: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&told["type"], &told["data"]["id"]), (&json!("task.completed"), &accepted["task_id"]));
    world.letters("", 0).await;
    server.stop().await;
}
