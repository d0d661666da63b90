//! A TCP proxy that fails on demand: it cuts its connections, refuses new ones, or holds everything back.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Read at once.
const BUFFER: usize = 16 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How the proxy treats its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mode {
    /// Counts the cuts; a connection that was made before the last one is gone.
    cuts: u64,
    /// Whether the last cut was a reset (RST) and no orderly end (FIN).
    resets: bool,
    /// Nobody listens.
    refuses: bool,
    /// Connections stay, and nothing comes through.
    holds: bool,
}

/// The proxy; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where its clients connect to.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections of a proxy share.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    mode: watch::Receiver<Mode>,
    bytes: AtomicU64,
    /// Since when its client has been without a connection that answers.
    lost_at: Mutex<Option<Instant>>,
    /// How long that was, in milliseconds, each time.
    lost_ms: Mutex<Vec<f64>>,
}

impl Proxy {
    /// Forwards to `upstream`.
    ///
    /// # Errors
    /// When the port can't be had.
    pub async fn start(port: u16, upstream: SocketAddr) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (mode, receiver) = watch::channel(Mode::default());
        let shared = Arc::new(Shared {
            upstream,
            mode: receiver,
            bytes: AtomicU64::new(0),
            lost_at: Mutex::default(),
            lost_ms: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, address, Arc::clone(&shared)));
        Ok(Self { address, mode, shared, accepting })
    }

    /// Breaks all connections, by RST or in good order.
    pub fn cut(&self, resets: bool) {
        self.shared.note_lost();
        self.mode.send_modify(|mode| {
            mode.cuts += 1;
            mode.resets = resets;
        });
    }

    /// Breaks all connections and refuses new ones until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.mode.send_modify(|mode| {
            mode.cuts += 1;
            mode.refuses = true;
        });
    }

    /// Lets nothing through, as a network does that loses everything, until [`Proxy::heal`].
    pub fn hold(&self) {
        self.mode.send_modify(|mode| mode.holds = true);
    }

    /// Back to forwarding; what was held back goes on.
    pub fn heal(&self) {
        if self.mode.borrow().refuses {
            self.shared.note_lost();
        }
        self.mode.send_modify(|mode| (mode.refuses, mode.holds) = (false, false));
    }

    /// Its client is another process now: what that one lost does not count.
    pub fn forget(&self) {
        *self.shared.lost_at.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Bytes forwarded, both ways.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// From each cut, or the end of each refusal, until its client had a connection that answered, in milliseconds.
    pub fn lost_ms(&self) -> Vec<f64> {
        self.shared.lost_ms.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Shared {
    fn note_lost(&self) {
        self.lost_at.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
    }

    fn note_answer(&self) {
        if let Some(since) = self.lost_at.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let lost = since.elapsed().as_secs_f64() * 1e3;
            self.lost_ms.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
        }
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    let mut mode = shared.mode.clone();
    let mut listener = Some(listener);
    loop {
        if mode.borrow_and_update().refuses {
            // Refused by the kernel, as when nobody is there.
            listener = None;
            if mode.changed().await.is_err() {
                return;
            }
            continue;
        }
        let Some(open) = &listener else {
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
            continue;
        };
        tokio::select! {
            accepted = open.accept() => match accepted {
                Ok((client, _)) => drop(tokio::spawn(serve(client, Arc::clone(&shared)))),
                // Out of file descriptors, most likely.
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            changed = mode.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let mut mode = shared.mode.clone();
    let cuts = mode.borrow_and_update().cuts;
    let Ok(Ok(mut server)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(shared.upstream)).await else { return };
    // What is forwarded must not wait for more.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let is_cut = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let both = async {
            // An end in good order is passed on, and the other way stays open; whatever else it is ends both.
            let _ = tokio::try_join!(
                forward(from_client, to_server, &shared, false),
                forward(from_server, to_client, &shared, true)
            );
        };
        tokio::select! {
            () = both => false,
            // Also when the proxy is gone.
            _ = mode.wait_for(|mode| mode.cuts != cuts) => true,
        }
    };
    if is_cut && mode.borrow().resets {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
}

async fn forward(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, shared: &Shared, is_answer: bool) -> io::Result<()> {
    let mut mode = shared.mode.clone();
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        if mode.borrow().holds && mode.wait_for(|mode| !mode.holds).await.is_err() {
            return Ok(());
        }
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        shared.bytes.fetch_add(length as u64, Ordering::Relaxed);
        if is_answer {
            shared.note_answer();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn said_back(stream: &mut TcpStream) -> io::Result<[u8; 2]> {
        stream.write_all(b"hi").await?;
        let mut answer = [0; 2];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_is_cut_ends_and_what_comes_later_passes() {
        let proxy = Proxy::start(0, echo().await).await.unwrap();
        for resets in [false, true] {
            let mut stream = TcpStream::connect(proxy.address).await.unwrap();
            assert_eq!(&said_back(&mut stream).await.unwrap(), b"hi");
            proxy.cut(resets);
            let ended = stream.read(&mut [0; 1]).await;
            match resets {
                false => assert_eq!(ended.unwrap(), 0),
                true => assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset),
            }
        }
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        assert_eq!(&said_back(&mut stream).await.unwrap(), b"hi");
        assert_eq!(proxy.bytes(), 12);
        assert_eq!(proxy.lost_ms().len(), 2, "each loss ended with an answer");
    }

    #[tokio::test]
    async fn who_refuses_is_not_there_until_it_heals() {
        let proxy = Proxy::start(0, echo().await).await.unwrap();
        let mut before = TcpStream::connect(proxy.address).await.unwrap();
        said_back(&mut before).await.unwrap();
        proxy.refuse();
        assert_eq!(before.read(&mut [0; 1]).await.unwrap_or(0), 0);
        while TcpStream::connect(proxy.address).await.is_ok() {}
        proxy.heal();
        loop {
            if let Ok(mut stream) = TcpStream::connect(proxy.address).await {
                assert_eq!(&said_back(&mut stream).await.unwrap(), b"hi");
                break;
            }
        }
    }

    #[tokio::test]
    async fn what_is_held_back_comes_later() {
        let proxy = Proxy::start(0, echo().await).await.unwrap();
        let mut stream = TcpStream::connect(proxy.address).await.unwrap();
        said_back(&mut stream).await.unwrap();
        proxy.hold();
        let early = timeout(Duration::from_millis(50), said_back(&mut stream)).await;
        assert!(early.is_err(), "something came through");
        proxy.heal();
        let mut late = [0; 2];
        stream.read_exact(&mut late).await.unwrap();
        assert_eq!(&late, b"hi");
    }
}
