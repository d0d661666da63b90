//! Clients that break the rules, or obey them to do harm: nothing falls over, memory stays bounded, and who behaves well
//! beside them is served.

use std::{net::SocketAddr, time::Duration};

use parlance_mock_llm::{Behaviour, Script};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::support::{HttpClient, PATIENCE, Server, World, eventually, reply_of};

/// What one misbehaving test may add to the process, with room for what a debug build and its allocator waste.
const MEMORY_KIB: u64 = 160 * 1024;
/// Some 10 KiB for each connection that is held open.
const CONNECTION_KIB: u64 = 24;
/// Connections that are held open at once, if the environment lets both processes have so many files.
const HALF_OPEN: u64 = 10_000;
/// Files that a process needs for everything else.
const OTHER_FILES: u64 = 500;

fn quick() -> Script {
    Script::always(Behaviour::tokens(8))
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// One healthy conversation, from the message to the end of its stream and the record.
async fn converses(client: &HttpClient) {
    let accepted = client.say(None, "Are you well?").await;
    let events = client.stream(&accepted.task, None).await.rest().await;
    let end = events.last().unwrap();
    assert_eq!(end.name, "done", "{events:?}");
    assert_eq!(reply_of(&events), end.data["reply"]["content"].as_str().unwrap());
    assert_eq!(client.get("/health").await.status, 200);
}

async fn connect(address: SocketAddr) -> TcpStream {
    timeout(PATIENCE, TcpStream::connect(address)).await.expect("no connection").unwrap()
}

/// Sends bytes, and gives all that comes back until the server closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut socket = connect(address).await;
    // The server may have closed before it has read all.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("the server keeps the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// Whatever two parsers could understand in two ways is refused, and nothing behind it on the connection is looked at.
#[tokio::test]
async fn what_could_be_smuggled_is_refused() {
    let world = World::new(quick());
    let server = world.start().await;
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n{body}\
             GET /smuggled HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
    };
    let json = r#"{"content":"a"}"#;
    let chunked = format!("{:x}\r\n{json}\r\n0\r\n\r\n", json.len());
    for (name, headers, body) in [
        ("a negative length", "content-length: -1\r\n".to_owned(), json),
        ("a length with a plus", "content-length: +15\r\n".to_owned(), json),
        ("a length in hexadecimal", "content-length: 0xf\r\n".to_owned(), json),
        ("no number", "content-length: 15a\r\n".to_owned(), json),
        ("a length beyond all numbers", format!("content-length: {}\r\n", "9".repeat(40)), json),
        ("two lengths", "content-length: 15\r\ncontent-length: 16\r\n".to_owned(), json),
        ("two lengths in one", "content-length: 15, 16\r\n".to_owned(), json),
        ("a space before the colon", "content-length : 15\r\n".to_owned(), json),
        ("a tab before the colon", "content-length\t: 15\r\n".to_owned(), json),
        ("a folded line", "content-length:\r\n 15\r\n".to_owned(), json),
        ("a carriage return in a value", "x: a\rcontent-length: 15\r\n".to_owned(), json),
        ("a zero byte in a value", "x: a\0b\r\ncontent-length: 15\r\n".to_owned(), json),
        ("a name with a zero byte", "x\0y: a\r\ncontent-length: 15\r\n".to_owned(), json),
        ("an unknown encoding", "transfer-encoding: cow\r\n".to_owned(), chunked.as_str()),
        ("chunked and then another", "transfer-encoding: chunked, identity\r\n".to_owned(), &chunked),
        ("an encoding in disguise", "transfer-encoding: \u{b}chunked\r\n".to_owned(), &chunked),
        ("an encoding with a colon", "transfer-encoding : chunked\r\n".to_owned(), &chunked),
    ] {
        let answers = raw(server.address, post(&headers, body).as_bytes()).await;
        assert_eq!(statuses(&answers), ["400"], "{name}: {answers}");
        assert!(answers.contains("application/problem+json"), "{name}: {answers}");
    }
    // Both a length and an encoding: the encoding counts, as the standard has it, and the connection is closed after.
    for (name, headers) in [
        ("both", "content-length: 4\r\ntransfer-encoding: chunked\r\n"),
        ("both the other way", "transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
    ] {
        let answers = raw(server.address, post(headers, &chunked).as_bytes()).await;
        assert_eq!(statuses(&answers), ["202"], "{name}: {answers}");
    }
    // Chunks that are none.
    for (name, body) in [
        ("garbage for a size", "zz\r\nab\r\n0\r\n\r\n"),
        ("a negative size", "-1\r\nab\r\n0\r\n\r\n"),
        ("a size beyond all numbers", "fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
        ("more than its size", "2\r\nabcdef\r\n0\r\n\r\n"),
        ("a bare line feed", "2\nab\n0\n\n"),
        ("an extension without end", &format!("2;{}\r\nab\r\n0\r\n\r\n", "x".repeat(100_000))),
    ] {
        let answers = raw(server.address, post("transfer-encoding: chunked\r\n", body).as_bytes()).await;
        assert_eq!(statuses(&answers), ["400"], "{name}: {answers}");
    }
    // What is unusual and clear is answered, with all that follows.
    for (name, headers, body) in [
        ("the same length twice", "content-length: 15\r\ncontent-length: 15\r\n", json.to_owned()),
        ("a chunk's extension", "transfer-encoding: chunked\r\n", format!("f;a=b\r\n{json}\r\n0\r\n\r\n")),
        ("trailers", "transfer-encoding: chunked\r\n", format!("f\r\n{json}\r\n0\r\nx: y\r\n\r\n")),
    ] {
        let answers = raw(server.address, post(headers, &body).as_bytes()).await;
        assert_eq!(statuses(&answers), ["202", "404"], "{name}: {answers}");
    }
    converses(&server.client()).await;
}

#[tokio::test]
async fn heads_that_are_too_big_are_refused() {
    let world = World::new(quick());
    let server = world.start().await;
    let before = resident_kib(&server);
    let health = |more: &str| format!("GET /health HTTP/1.1\r\nhost: localhost\r\n{more}\r\n");
    for (name, request, expected) in [
        ("one huge header", health(&format!("x: {}\r\n", "y".repeat(1 << 20))), "431"),
        ("a header without end", format!("GET /health HTTP/1.1\r\nx: {}", "y".repeat(1 << 20)), "431"),
        ("many headers", health(&"a: b\r\n".repeat(1_000)), "431"),
        ("a long path", format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "y".repeat(1 << 20)), "431"),
        ("no method", "\u{1}\u{2}\u{3} / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("no version", "GET /health\r\n\r\n".to_owned(), "400"),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\r\n\r\n".to_owned(), "400"),
    ] {
        for _ in 0..20 {
            let answers = raw(server.address, request.as_bytes()).await;
            // Closed with bytes unread, a connection may be reset before its client has read the answer.
            let statuses = statuses(&answers);
            assert!(statuses == [expected] || statuses.is_empty() && request.len() > 60_000, "{name}: {answers}");
        }
    }
    converses(&server.client()).await;
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < MEMORY_KIB, "{grown} KiB more");
}

#[tokio::test]
async fn a_thousand_requests_in_one_write_are_answered_in_order() {
    let world = World::new(quick());
    let server = world.start().await;
    let mut requests = String::new();
    for number in 0..1_000 {
        let path = if number % 2 == 0 { "/health" } else { "/nowhere" };
        requests.push_str(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    }
    requests.push_str("GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut socket = connect(server.address).await;
    let (mut reading, mut writing) = socket.split();
    let mut answers = Vec::new();
    let (written, read) =
        tokio::join!(writing.write_all(requests.as_bytes()), timeout(PATIENCE, reading.read_to_end(&mut answers)),);
    written.unwrap();
    read.expect("the answers end").unwrap();
    let answers = String::from_utf8(answers).unwrap();
    let expected: Vec<&str> = (0..1_001).map(|number| if number % 2 == 0 { "200" } else { "404" }).collect();
    assert_eq!(statuses(&answers), expected);
}

/// Heads and bodies that come a byte at a time, thousands of connections that say nothing or half a word: who behaves well
/// is served meanwhile, and what the idle ones cost is bounded.
#[tokio::test]
async fn half_open_connections_are_held_cheaply_while_others_are_served() {
    // The test's own files, too; the server raises its limit by itself.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    let count = HALF_OPEN.min(files.saturating_sub(OTHER_FILES));
    if count < HALF_OPEN {
        eprintln!("only {count} connections of {HALF_OPEN}: the limit of open files is {files}");
    }
    let world = World::new(quick());
    let server = world.start().await;
    converses(&server.client()).await;
    let before = resident_kib(&server);
    let started = [
        "",
        "GET /health HTTP/1.1\r\nhost: loc",
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n{",
        "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{",
    ];
    let mut sockets = Vec::new();
    for number in 0..count as usize {
        let mut socket = connect(server.address).await;
        socket.write_all(started[number % started.len()].as_bytes()).await.unwrap();
        sockets.push(socket);
        if number % 1_000 == 999 {
            converses(&server.client()).await;
        }
    }
    for _ in 0..5 {
        converses(&server.client()).await;
    }
    let grown = resident_kib(&server).saturating_sub(before);
    let bound = MEMORY_KIB + count * CONNECTION_KIB;
    assert!(grown < bound, "{grown} KiB more for {count} connections, {bound} allowed");

    // Those that wait for a body are told that it came too late; a byte now and then is no help.
    let (mut answer, mut body) = sockets.swap_remove(2).into_split();
    let trickle = async {
        while body.write_all(b" ").await.is_ok() {
            sleep(Duration::from_millis(200)).await;
        }
        // Nobody reads it any more: the answer tells why.
        std::future::pending::<()>().await;
    };
    let answered = async {
        let mut status = [0; 12];
        answer.read_exact(&mut status).await.expect("a slow body is hung up on without a word");
        assert_eq!(&status, b"HTTP/1.1 408");
    };
    let told = async {
        tokio::select! { () = trickle => {}, () = answered => {} }
    };
    timeout(PATIENCE, told).await.expect("a slow body is not waited for");
    drop(sockets);
    eventually("all are gone", async || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", server.process.pid())).unwrap().count() as u64;
        (files < OTHER_FILES).then_some(())
    })
    .await;
    converses(&server.client()).await;
    assert_eq!(server.stop().await.code, Some(0));
}

/// A megabyte each waits for subscribers that read nothing: it is kept once, not once for each of them.
#[tokio::test]
async fn subscribers_that_never_read_cost_little() {
    let world = World::new(quick());
    let server = world.start().await;
    let big = server.say(None, "Much [[mock fault=big]]").await;
    converses(&server.client()).await;
    let before = resident_kib(&server);
    let request = format!("GET /v1/tasks/{}/stream HTTP/1.1\r\nhost: localhost\r\n\r\n", big.task);
    let mut sockets = Vec::new();
    // Not more: until its buffers are full each takes megabytes, which a debug build is slow to write.
    for _ in 0..100 {
        let mut socket = connect(server.address).await;
        socket.write_all(request.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    for _ in 0..5 {
        converses(&server.client()).await;
    }
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < MEMORY_KIB + 100 * 64, "{grown} KiB more");
    let done = server.ended(&big.task).await;
    assert_eq!(done["status"], "completed");
    drop(sockets);
    converses(&server.client()).await;
}

/// Bodies as large as they may be, all at once and none of them whole.
#[tokio::test]
async fn bodies_under_way_have_a_bound_together() {
    let world = World::new(quick());
    let server = world.start().await;
    let before = resident_kib(&server);
    let head = "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
    let piece = vec![b' '; 2_900_000];
    let mut sockets = Vec::new();
    let mut refused = 0;
    for _ in 0..150 {
        let mut socket = connect(server.address).await;
        socket.write_all(head.as_bytes()).await.unwrap();
        // Past the bound it is refused, and no longer read.
        if timeout(PATIENCE, socket.write_all(&piece)).await.expect("the server neither reads nor closes").is_err() {
            refused += 1;
        }
        sockets.push(socket);
    }
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 256 * 1024 + MEMORY_KIB, "{grown} KiB more, {refused} refused");
    drop(sockets);
    converses(&server.client()).await;
}

#[tokio::test]
async fn whoever_is_limited_is_served_after_the_time_they_are_told() {
    let world = World::new(quick()).with("RATE_LIMIT_PER_USER", "5/s").with("MAX_TASKS_PER_USER", "50");
    let server = world.start().await;
    let client = server.client();
    let refused = loop {
        let answer = client.post("/v1/messages", &json!({"content": "Hello"})).await;
        if answer.status != 202 {
            break answer;
        }
        assert!(!answer.header("ratelimit").is_empty());
    };
    refused.problem(429, "rate_limited");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    sleep(Duration::from_secs(seconds)).await;
    client.post("/v1/messages", &json!({"content": "Hello again"})).await.expect(202);
    let metrics = eventually("the count", async || {
        let metrics = client.get("/metrics").await;
        (metrics.status == 200).then_some(metrics.body)
    })
    .await;
    assert!(metrics.contains(r#"parlance_calls_refused_total{code="rate_limited"} "#), "{metrics}");
}
