//! Google's metadata server, as far as it gives access tokens; and tests that run where `GCE_METADATA_HOST` names it.

use std::{
    net::{SocketAddr, TcpListener as Free},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

const HOST: &str = "GCE_METADATA_HOST";
const MARK: &str = "PARLANCE_TEST_IS_ON_ITS_OWN";

/// Whether this is a process of this test's own, in which the metadata server is where [`MetadataServer::start`] puts it. If
/// not, one is run, and has to succeed.
pub fn is_on_its_own(test: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let address = Free::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(MARK, "1").env(HOST, address.to_string());
    // What else would be believed before a metadata server.
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS").env("HOME", "/nowhere").env("CLOUDSDK_CONFIG", "/nowhere");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

#[derive(Clone, Debug)]
pub enum Answer {
    /// This token, valid for so many seconds.
    Token(String, u64),
    /// An error of its own.
    Error,
    /// Nothing, for ever.
    Silence,
}

pub struct MetadataServer {
    answer: watch::Sender<Answer>,
    asked: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl MetadataServer {
    pub async fn start(answer: Answer) -> Self {
        let address: SocketAddr = std::env::var(HOST).unwrap().parse().unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let (answer, answers) = watch::channel(answer);
        let (asked, mut serving) = (Arc::new(AtomicUsize::new(0)), JoinSet::new());
        let count = Arc::clone(&asked);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answers.clone(), Arc::clone(&count)));
            }
        });
        Self { answer, asked, _serving: serving }
    }

    pub fn set(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, answers: watch::Receiver<Answer>, asked: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    asked.fetch_add(1, Ordering::SeqCst);
    let is_right = request.starts_with("get /computemetadata/v1/instance/service-accounts/default/token?scopes=https")
        && request.lines().next().unwrap().contains("sqlservice.login")
        && request.contains("\r\nmetadata-flavor: google\r\n");
    let answer = answers.borrow().clone();
    let (status, body) = match answer {
        Answer::Token(token, seconds) if is_right => {
            ("200 OK", format!(r#"{{"access_token":"{token}","expires_in":{seconds},"token_type":"Bearer"}}"#))
        }
        Answer::Token(..) => ("404 Not Found", request),
        Answer::Error => ("503 Service Unavailable", "no tokens today".to_owned()),
        Answer::Silence => return tokio::time::sleep(Duration::from_secs(3600)).await,
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n");
    let _ = stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
}
