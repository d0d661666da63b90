//! A TCP proxy before the server: it can cut connections, and swallow what is sent as a server does that vanished.

#![allow(clippy::disallowed_methods, reason = "tests spawn what ends with them")]

use std::{net::SocketAddr, sync::Arc};

use parlance_shared::settings::PostgresSettings;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// Dropping it closes its port and cuts its connections.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    silent: Arc<watch::Sender<bool>>,
    cut: watch::Sender<u64>,
    listening: AbortHandle,
}

impl Proxy {
    pub async fn before(server: &PostgresSettings) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), server).await
    }

    pub async fn at(address: SocketAddr, server: &PostgresSettings) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = (server.host.clone(), server.port);
        let (silent, cut) = (Arc::new(watch::Sender::new(false)), watch::Sender::new(0));
        let (hush, mut cuts) = (Arc::clone(&silent), cut.subscribe());
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        let Ok(server) = TcpStream::connect((target.0.as_str(), target.1)).await else { continue };
                        connections.spawn(forward(client, server, hush.subscribe()));
                    }
                    changed = cuts.changed() => {
                        if changed.is_err() { return }
                        connections.shutdown().await;
                    }
                }
            }
        });
        Self { address, silent, cut, listening: listening.abort_handle() }
    }

    /// The server's settings, by way of the proxy.
    pub fn settings(&self, server: &PostgresSettings) -> PostgresSettings {
        PostgresSettings { host: self.address.ip().to_string(), port: self.address.port(), ..server.clone() }
    }

    /// Cuts all connections; new ones are taken.
    pub fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// From now on nothing comes through, and nobody is told; or everything does again.
    pub fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, silent: watch::Receiver<bool>) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let whole = tokio::select! {
            read = from_client.read(&mut up) => match read {
                Ok(length @ 1..) if !*silent.borrow() => to_server.write_all(&up[..length]).await.is_ok(),
                read => read.is_ok_and(|length| length > 0),
            },
            read = from_server.read(&mut down) => match read {
                Ok(length @ 1..) if !*silent.borrow() => to_client.write_all(&down[..length]).await.is_ok(),
                read => read.is_ok_and(|length| length > 0),
            },
        };
        if !whole {
            return;
        }
    }
}
