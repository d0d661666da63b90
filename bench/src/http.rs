//! A minimal HTTP/1.1 client: one keep-alive connection, one exchange at a time, on loopback.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpStream, time::timeout};

/// Loopback connects at once or not at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    authority: String,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were consumed.
    read: usize,
}

/// What is left of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(usize),
    /// Bytes left of the current chunk; `None` before a chunk's size line.
    Chunked(Option<usize>),
    UntilClose,
    Done,
}

/// The head of a response; its body is read through it, from the connection that it came on.
#[derive(Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    body: Body,
    closes: bool,
    says_when_to_retry: bool,
}

/// A whole response.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Whether it has a `Retry-After`.
    pub says_when_to_retry: bool,
    /// The body.
    pub body: Vec<u8>,
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authority: address.to_string(), buffer: Vec::new(), read: 0 })
    }

    /// Sends a request; `headers` are whole lines ended by CR LF.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, method: &str, path: &str, headers: &str, body: Option<&[u8]>) -> io::Result<()> {
        use std::fmt::Write as _;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{headers}", self.authority);
        if let Some(body) = body {
            let _ = write!(text, "content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.stream.write_all(&bytes).await
    }

    /// Reads the next response's head.
    ///
    /// # Errors
    /// When the connection is gone or what comes is no HTTP/1.1.
    pub async fn head(&mut self) -> io::Result<Head> {
        loop {
            if let Some(length) = find(&self.buffer[self.read..], b"\r\n\r\n") {
                let head = parse_head(&self.buffer[self.read..self.read + length])?;
                self.consume(length + 4);
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Reads the next bytes of the body into `out`; `false` at its end.
    ///
    /// # Errors
    /// When the connection is gone before the body's end.
    pub async fn piece(&mut self, head: &mut Head, out: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let here = self.buffer.len() - self.read;
            match head.body {
                Body::Done | Body::Length(0) => {
                    head.body = Body::Done;
                    return Ok(false);
                }
                Body::Length(left) if here > 0 => {
                    head.body = Body::Length(left - self.take(left, out));
                    return Ok(true);
                }
                Body::Chunked(Some(0)) if here >= 2 => {
                    self.consume(2);
                    head.body = Body::Chunked(None);
                    continue;
                }
                Body::Chunked(Some(left)) if left > 0 && here > 0 => {
                    head.body = Body::Chunked(Some(left - self.take(left, out)));
                    return Ok(true);
                }
                Body::Chunked(None) => {
                    if let Some(length) = find(&self.buffer[self.read..], b"\r\n") {
                        let size = parse_chunk_size(&self.buffer[self.read..self.read + length])?;
                        if size > 0 {
                            self.consume(length + 2);
                            head.body = Body::Chunked(Some(size));
                            continue;
                        }
                        // The last chunk, and no trailers.
                        if here >= length + 4 {
                            self.consume(length + 4);
                            head.body = Body::Done;
                            return Ok(false);
                        }
                    }
                }
                Body::UntilClose if here > 0 => {
                    self.take(usize::MAX, out);
                    return Ok(true);
                }
                Body::UntilClose => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        head.body = Body::Done;
                        return Ok(false);
                    }
                    continue;
                }
                Body::Length(_) | Body::Chunked(Some(_)) => {}
            }
            self.fill().await?;
        }
    }

    /// A request and its whole response, within `limit`.
    ///
    /// # Errors
    /// When the connection fails or the time is up; the connection can't be used any more then.
    pub async fn exchange(
        &mut self,
        limit: Duration,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&[u8]>,
    ) -> io::Result<Response> {
        timeout(limit, async {
            self.send(method, path, headers, body).await?;
            let mut head = self.head().await?;
            let mut bytes = Vec::new();
            while self.piece(&mut head, &mut bytes).await? {}
            if head.closes {
                *self = Self::open(self.stream.peer_addr()?).await?;
            }
            let Head { status, says_when_to_retry, .. } = head;
            Ok(Response { status, says_when_to_retry, body: bytes })
        })
        .await?
    }

    fn take(&mut self, most: usize, out: &mut Vec<u8>) -> usize {
        let length = most.min(self.buffer.len() - self.read);
        out.extend_from_slice(&self.buffer[self.read..self.read + length]);
        self.consume(length);
        length
    }

    fn consume(&mut self, bytes: usize) {
        self.read += bytes;
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.read > 0 {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.reserve(1024);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl Head {
    /// Whether the whole body was read, so that the connection can carry the next exchange.
    pub fn is_finished(&self) -> bool {
        self.body == Body::Done && !self.closes
    }
}

/// Where `needle` begins.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn parse_chunk_size(line: &[u8]) -> io::Result<usize> {
    let text = std::str::from_utf8(line).map_err(|_| broken("chunk size is no text"))?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).map_err(|_| broken("chunk size is no number"))
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken("head is no text"))?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| broken("no HTTP/1.1 status line"))?;
    let (mut body, mut closes, mut says_when_to_retry) = (Body::UntilClose, false, false);
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body = Body::Length(value.parse().map_err(|_| broken("content-length is no number"))?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            body = Body::Chunked(None);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("retry-after") {
            says_when_to_retry = true;
        }
    }
    if status == 204 || status == 304 {
        body = Body::Done;
    }
    Ok(Head { status, body, closes: closes || body == Body::UntilClose, says_when_to_retry })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn served(pieces: Vec<Vec<u8>>) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for piece in pieces {
                stream.write_all(&piece).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            // Closed with the requests unread, the connection would be reset.
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        Connection::open(address).await.unwrap()
    }

    #[tokio::test]
    async fn two_responses_on_a_connection_are_read_however_they_are_cut() {
        let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n\
            HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
            .to_vec();
        for step in [1, 2, 7, bytes.len()] {
            let mut connection = served(bytes.chunks(step).map(<[u8]>::to_vec).collect()).await;
            let first = connection.exchange(CONNECT_TIMEOUT, "GET", "/", "", None).await.unwrap();
            assert_eq!((first.status, first.body.as_slice()), (200, b"hello, world".as_slice()));
            let second = connection.exchange(CONNECT_TIMEOUT, "POST", "/", "", Some(b"{}")).await.unwrap();
            assert_eq!((second.status, second.body.as_slice()), (202, b"ok".as_slice()));
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_is_an_error() {
        for cut in [
            "content-length: 9\r\n\r\nhello",
            "transfer-encoding: chunked\r\n\r\n5\r\nhel",
            "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            let mut connection = served(vec![format!("HTTP/1.1 200 OK\r\n{cut}").into_bytes()]).await;
            assert!(connection.exchange(CONNECT_TIMEOUT, "GET", "/", "", None).await.is_err(), "{cut}");
        }
    }
}
