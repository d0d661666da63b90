//! `SERVICE health`: asks the instance that runs in the same container whether it is ready. The images hold no shell and no
//! HTTP client that could.

use std::{net::Ipv4Addr, process::ExitCode, time::Duration};

use parlance_shared::settings::Settings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(3);
const READY: &[u8] = b"HTTP/1.1 200 ";

/// Success when `/health/ready` answers 200 at the port that the settings name.
pub(crate) async fn check(settings: &Settings) -> ExitCode {
    // Where it listens on every address it listens on loopback, too.
    let host = if settings.host.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { settings.host };
    let is_ready = timeout(PATIENCE, is_ready((host, settings.port).into())).await;
    if matches!(is_ready, Ok(Ok(true))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn is_ready(address: std::net::SocketAddr) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut head = [0; READY.len()];
    connection.read_exact(&mut head).await?;
    Ok(head == READY)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn asked_of(answer: &'static str) -> std::io::Result<bool> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let server = async {
            let (mut connection, _) = listener.accept().await?;
            let mut asked = vec![0; 1024];
            let length = connection.read(&mut asked).await?;
            assert!(asked[..length].starts_with(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1:"));
            connection.write_all(answer.as_bytes()).await
        };
        let (is_ready, served) = tokio::join!(is_ready(address), server);
        served.and(is_ready)
    }

    #[tokio::test]
    async fn only_200_is_ready() {
        assert!(asked_of("HTTP/1.1 200 OK\r\n\r\n").await.unwrap());
        assert!(!asked_of("HTTP/1.1 503 Service Unavailable\r\n\r\n").await.unwrap());
        assert!(asked_of("").await.is_err());
    }
}
