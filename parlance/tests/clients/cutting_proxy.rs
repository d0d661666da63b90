//! A proxy that cuts each connection after a random number of bytes of its answers, by RST or by FIN; within the head of an
//! answer by RST only, since browsers that are not under TLS take a head that ends early for the whole head.
//!
//! It is told how on another port: `PUT /N` has every connection cut within N bytes from now on, none with 0, and answers
//! `{"cuts": …}`: how many it has cut so far. `GET /blank` of the proxy itself is an empty page, for a browser that needs an
//! origin. It has several ports, as browsers open no more than six connections to one.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

const BUFFER: usize = 16 * 1024;
const CONNECT: Duration = Duration::from_secs(10);

const PORTS: usize = 8;

/// The proxy; it ends when this is dropped.
pub struct CuttingProxy {
    pub addresses: Vec<SocketAddr>,
    /// Where it is told how to cut.
    pub control: SocketAddr,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
}

struct Shared {
    upstream: SocketAddr,
    /// Connections are cut within so many bytes; 0 for not at all.
    within: AtomicU64,
    /// Counts what it was told.
    told: AtomicU64,
    cuts: AtomicU64,
}

impl CuttingProxy {
    /// One that cuts nothing yet.
    pub async fn before(upstream: SocketAddr) -> Self {
        let shared =
            Arc::new(Shared { upstream, within: AtomicU64::new(0), told: AtomicU64::new(0), cuts: AtomicU64::new(0) });
        let (control, controlling) = accept(shared.clone(), be_told).await;
        let (mut addresses, mut accepting) = (Vec::new(), vec![controlling]);
        for _ in 0..PORTS {
            let (address, passing) = accept(shared.clone(), serve).await;
            addresses.push(address);
            accepting.push(passing);
        }
        Self { addresses, control, shared, accepting }
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

async fn accept<F>(shared: Arc<Shared>, serve: fn(TcpStream, Arc<Shared>) -> F) -> (SocketAddr, JoinHandle<()>)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, shared.clone()));
        }
    });
    (address, accepting)
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut first = vec![0; BUFFER];
    let length = client.read(&mut first).await?;
    first.truncate(length);
    if first.starts_with(b"GET /blank ") {
        return answer(client, "text/html", "<!doctype html><title>blank</title>").await;
    }
    let mut server = timeout(CONNECT, TcpStream::connect(shared.upstream)).await??;
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    server.write_all(&first).await?;
    // Of the latest request's answer; browsers use a connection again, also for another stream.
    let (mut head, asked) = (Vec::new(), AtomicU64::new(0));
    let is_cut = {
        let (mut from_client, mut to_client) = client.split();
        let (mut from_server, mut to_server) = server.split();
        let up = async {
            let mut buffer = vec![0; BUFFER];
            loop {
                let length = from_client.read(&mut buffer).await?;
                if length == 0 {
                    break;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                to_server.write_all(&buffer[..length]).await?;
            }
            to_server.shutdown().await?;
            // The other way says when it is over.
            std::future::pending::<io::Result<bool>>().await
        };
        let down = async {
            let mut buffer = vec![0; BUFFER];
            let (mut told, mut left, mut answering) = (None, 0, 0);
            loop {
                let length = from_server.read(&mut buffer).await?;
                let latest = shared.told.load(Ordering::Relaxed);
                if told.replace(latest) != Some(latest) {
                    let within = shared.within.load(Ordering::Relaxed);
                    left = if within == 0 { u64::MAX } else { fastrand::u64(1..=within) };
                }
                if length == 0 {
                    return to_client.shutdown().await.map(|()| false);
                }
                let passes = usize::try_from(left).map_or(length, |left| length.min(left));
                to_client.write_all(&buffer[..passes]).await?;
                let latest = asked.load(Ordering::Relaxed);
                if std::mem::replace(&mut answering, latest) != latest {
                    head.clear();
                }
                if !is_whole(&head) {
                    head.extend_from_slice(&buffer[..passes]);
                }
                left -= passes as u64;
                if left == 0 {
                    return Ok(true);
                }
            }
        };
        tokio::select! { done = up => done?, done = down => done? }
    };
    if is_cut {
        shared.cuts.fetch_add(1, Ordering::Relaxed);
        if fastrand::bool() || !is_whole(&head) {
            client.set_zero_linger()?;
        }
    }
    Ok(())
}

fn is_whole(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n")
}

async fn be_told(mut client: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let mut request = vec![0; BUFFER];
    let length = client.read(&mut request).await?;
    let line = String::from_utf8_lossy(&request[..length]);
    let within = line.strip_prefix("PUT /").and_then(|rest| rest.split(' ').next()?.parse().ok());
    shared.within.store(within.ok_or(io::ErrorKind::InvalidInput)?, Ordering::Relaxed);
    shared.told.fetch_add(1, Ordering::Relaxed);
    answer(client, "application/json", &format!("{{\"cuts\":{}}}", shared.cuts.load(Ordering::Relaxed))).await
}

async fn answer(mut client: TcpStream, kind: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    client.write_all(format!("{head}{body}").as_bytes()).await?;
    client.shutdown().await
}
