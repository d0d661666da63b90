//! One GET over HTTP/1.1.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// As much of an answer as is looked at: `HTTP/1.1 200 `.
const STATUS: usize = 13;

/// Whether a path on the loopback address is answered with 200.
pub(super) fn answers(port: u16, path: &str, patience: Duration) -> bool {
    status(port, path, patience).is_ok_and(|status| is_ok(&status))
}

fn status(port: u16, path: &str, patience: Duration) -> std::io::Result<[u8; STATUS]> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; STATUS];
    stream.read_exact(&mut status)?;
    Ok(status)
}

fn is_ok(status: &[u8]) -> bool {
    status.starts_with(b"HTTP/1.1 200 ")
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    #[test]
    fn only_200_is_an_answer() {
        assert!(is_ok(b"HTTP/1.1 200 OK\r\n\r\n{}"));
        assert!(!is_ok(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
        assert!(!is_ok(b""));
    }

    #[test]
    fn a_silent_server_does_not_answer() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = thread::spawn(move || listener.accept().map(|(stream, _)| (stream, thread::park())));
        assert!(!answers(port, "/", Duration::from_millis(100)));
        held.thread().unpark();
        held.join().unwrap().unwrap();
    }
}
