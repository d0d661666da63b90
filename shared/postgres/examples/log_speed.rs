//! How quick the reply log is on Postgres, and what it costs the database. One worker and one reader in this process:
//!
//! `PARLANCE_TEST_POSTGRES_URL=… cargo run --release -p parlance-postgres --example log_speed [STREAMS] [SECONDS]`
//!
//! Processor time of the database is known when it runs on this machine.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parlance_postgres::{PostgresTurns, Role};
use parlance_shared::{
    MessageId, SessionId, TaskId, UserId,
    id::PrefixedId as _,
    log_view::LogEvent,
    port::{
        reply_log::ReplyLog as _,
        turns::{Claim, ClaimOutcome, TurnEnd, TurnRequest, Turns as _, WorkerId},
    },
    task::{Status, Usage},
};
use sqlx::PgConnection;
use support::{TestDatabase, connect, process::Process, server};
use tokio::{sync::Mutex, task::JoinSet};
use uuid::Uuid;

const TOKENS_PER_SECOND: u64 = 50;
const TOKEN: usize = 24;
const LEASE: Duration = Duration::from_secs(10);

fn request() -> TurnRequest {
    TurnRequest {
        task_id: TaskId::from_uuid(Uuid::now_v7()),
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        user_id: UserId::new("alice"),
        message_id: MessageId::from_uuid(Uuid::now_v7()),
        reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
        accepted_at: chrono::DateTime::UNIX_EPOCH,
        fingerprint: None,
        reopen: None,
    }
}

/// Says tokens that hold the microsecond they were said at. Gives the longest wait for room.
async fn say(turns: Arc<PostgresTurns>, claim: Claim, start: Instant, tokens: u64, phase: Duration) -> Duration {
    let mut writer = turns.writer(&claim).await.unwrap();
    let mut worst = Duration::ZERO;
    for n in 0..tokens {
        let at = start + phase + Duration::from_micros(n * 1_000_000 / TOKENS_PER_SECOND);
        tokio::time::sleep_until(at.into()).await;
        let now = Instant::now();
        let token = format!("{:>width$} ", now.duration_since(start).as_micros(), width = TOKEN - 1);
        writer.append(&token).await.unwrap();
        worst = worst.max(now.elapsed());
    }
    let end = TurnEnd {
        status: Status::Completed,
        content: writer.text(),
        provider: None,
        model: None,
        usage: Usage::default(),
        first_token_at: None,
        error: None,
        details: Default::default(),
    };
    turns.finish(&claim, end, None).await.unwrap();
    worst
}

/// How long each token took; the first one's once more.
async fn read(turns: Arc<PostgresTurns>, task: TaskId, start: Instant, tokens: u64) -> (Vec<u32>, u32) {
    let mut reader = turns.follow(&UserId::new("alice"), task, None).await.unwrap();
    let (mut latencies, mut text) = (Vec::new(), String::new());
    while let Some(entry) = reader.next().await.unwrap() {
        let now = i64::try_from(start.elapsed().as_micros()).unwrap();
        match entry.event {
            LogEvent::Delta(delta) => {
                text.push_str(&delta.text);
                let said = delta.text.split_whitespace().map(|token| token.parse::<i64>().unwrap());
                latencies.extend(said.map(|at| u32::try_from(now - at).unwrap_or_default()));
            }
            LogEvent::End(task) => assert_eq!(task.reply.content, text),
            LogEvent::Status(_) | LogEvent::ToolCall(_) | LogEvent::Reset(_) => {}
        }
    }
    assert_eq!(latencies.len() as u64, tokens, "tokens were lost");
    let first = latencies[0];
    (latencies, first)
}

async fn wal(connection: &mut PgConnection) -> i64 {
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Fields of a process' status, from its parent on.
fn stat(pid: &str) -> Option<Vec<i64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    Some(fields.map(|field| field.parse().unwrap_or_default()).collect())
}

/// Seconds that the server's processes have used, those that have ended included.
async fn database_cpu(connection: &mut PgConnection) -> Option<f64> {
    let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(connection).await.unwrap();
    let postmaster = stat(&backend.to_string())?[0];
    // utime, stime and those of ended children.
    let mut ticks: i64 = stat(&postmaster.to_string())?[10..14].iter().sum();
    for entry in std::fs::read_dir("/proc").ok()? {
        let name = entry.ok()?.file_name();
        let number = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some(child) = number.and_then(stat).filter(|child| child[0] == postmaster) {
            ticks += child[10..12].iter().sum::<i64>();
        }
    }
    Some(ticks as f64 / 100.0)
}

fn own_cpu() -> Option<f64> {
    Some(stat("self")?[10..12].iter().sum::<i64>() as f64 / 100.0)
}

fn show(what: &str, mut micros: Vec<u32>) {
    micros.sort_unstable();
    let at = |part: usize| f64::from(micros[(micros.len() * part / 1000).min(micros.len() - 1)]) / 1000.0;
    println!("{what}: p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, worst {:.1} ms", at(500), at(990), at(999), at(1000));
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u64>().unwrap());
    let (streams, seconds) = (arguments.next().unwrap_or(1_000), arguments.next().unwrap_or(20));
    let Some(server) = server() else { return };
    let database = TestDatabase::migrated(&server).await;
    let (worker, reader) = (Process::start(&database, Role::Worker), Process::start(&database, Role::Reader));
    let mut admin = connect(&database.admin).await;

    let claims = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..streams {
        match worker.turns.claim(&request(), &WorkerId("w".into()), LEASE).await.unwrap() {
            ClaimOutcome::Claimed(claim) => claims.lock().await.push(claim),
            other => panic!("{other:?}"),
        }
    }
    sqlx::raw_sql("CHECKPOINT").execute(&mut admin).await.unwrap();
    let (wal_before, cpu_before, own_before) = (wal(&mut admin).await, database_cpu(&mut admin).await, own_cpu());
    let (start, tokens) = (Instant::now() + Duration::from_millis(500), seconds * TOKENS_PER_SECOND);
    let (mut saying, mut reading) = (JoinSet::new(), JoinSet::new());
    for (n, claim) in claims.lock().await.iter().enumerate() {
        // Replies begin over two seconds, and are never in step.
        let phase = Duration::from_micros(2_000_000 * n as u64 / streams);
        reading.spawn(read(reader.turns.clone(), claim.task_id, start, tokens));
        saying.spawn(say(worker.turns.clone(), claim.clone(), start, tokens, phase));
    }
    let beats = worker.lifecycle.spawn({
        let (turns, claims) = (worker.turns.clone(), claims.clone());
        async move {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                turns.heartbeat(&claims.lock().await, LEASE).await.unwrap();
            }
        }
    });
    let (mut all, mut first) = (Vec::new(), Vec::new());
    for (latencies, opening) in reading.join_all().await {
        all.extend(latencies);
        first.push(opening);
    }
    let took = start.elapsed();
    beats.abort();
    let worst_append = saying.join_all().await.into_iter().max().unwrap_or_default();
    let (wal_after, cpu_after, own_after) = (wal(&mut admin).await, database_cpu(&mut admin).await, own_cpu());

    let millions = all.len() as f64 / 1e6;
    println!("{streams} streams of {TOKENS_PER_SECOND} tokens/s, {TOKEN} bytes each: {} tokens", all.len());
    println!("{:.0} tokens/s", all.len() as f64 / took.as_secs_f64());
    show("append to reader", all);
    show("first token to reader", first);
    println!("longest append: {worst_append:?}");
    if let (Some(before), Some(after)) = (cpu_before, cpu_after) {
        println!("database CPU per million tokens: {:.2} s", (after - before) / millions);
    }
    if let (Some(before), Some(after)) = (own_before, own_after) {
        println!("this process' CPU per million tokens: {:.2} s", (after - before) / millions);
    }
    println!("WAL per token: {:.0} B", (wal_after - wal_before) as f64 / (millions * 1e6));
    println!("worker {:?}", worker.turns.log_stats());
    println!("reader {:?}", reader.turns.log_stats());
    worker.kill().await;
    reader.kill().await;
}
