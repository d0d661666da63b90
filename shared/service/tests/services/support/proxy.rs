//! A TCP proxy that fails on demand: it cuts its connections and takes no new ones, or lets nothing through.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Passes,
    /// Connections are reset, also new ones. The port is kept, so that nobody else gets it meanwhile.
    Refuses,
    /// Connections stay, and nothing comes through.
    Holds,
}

/// The proxy; it ends when this is dropped.
pub struct Proxy {
    /// Where its clients connect to.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Forwards to `HOST:PORT`.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, receiver) = watch::channel(Mode::Passes);
        let accepting = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                tokio::spawn(serve(client, server.clone(), receiver.clone()));
            }
        });
        Self { address, mode, accepting }
    }

    /// Breaks all connections, and new ones, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.mode.send_replace(Mode::Refuses);
    }

    /// Lets nothing through, as a network does that loses everything, until [`Proxy::heal`].
    pub fn hold(&self) {
        self.mode.send_replace(Mode::Holds);
    }

    /// Back to forwarding; what was held back goes on.
    pub fn heal(&self) {
        self.mode.send_replace(Mode::Passes);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(client: TcpStream, server: String, mut mode: watch::Receiver<Mode>) {
    let forwarded_by = mode.clone();
    let forwarding = async {
        let server = TcpStream::connect(&server).await?;
        // What is forwarded must not wait for more.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        // When one side ends, so does the other: half a connection is of use to neither protocol.
        tokio::select! {
            ended = forward(from_client, to_server, forwarded_by.clone()) => ended,
            ended = forward(from_server, to_client, forwarded_by.clone()) => ended,
        }
    };
    tokio::select! {
        _ = mode.wait_for(|mode| *mode == Mode::Refuses) => {}
        _ = forwarding => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        // An error means that the proxy is gone: what is under way may pass.
        let _ = mode.wait_for(|mode| *mode != Mode::Holds).await;
        if length == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}
