//! How quick the record is written: `DATABASE_URL=… cargo run --release -p parlance-postgres --example store_speed`, on a
//! database that `parlance migrate init` has made.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement")]

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use parlance_postgres::{Database, PostgresStore};
use parlance_shared::{
    Clock, MessageId, SessionId, TaskId, UserId,
    event::{MessageSubmitted, ReplyCompleted, Strategy},
    id::PrefixedId as _,
    page::PageRequest,
    port::store::Store as _,
    settings::{DatabaseSettings, Settings},
    task::{Status, Task, Timings},
};
use uuid::Uuid;

const LONE: usize = 300;
const MANY: usize = 4_000;
const AT_ONCE: usize = 20;

fn conversation(clock: &Clock) -> (MessageSubmitted, ReplyCompleted) {
    let now = clock.now_precise();
    let request = MessageSubmitted {
        task_id: TaskId::from_uuid(Uuid::now_v7()),
        session_id: SessionId::from_uuid(Uuid::now_v7()),
        message_id: MessageId::from_uuid(Uuid::now_v7()),
        reply_message_id: MessageId::from_uuid(Uuid::now_v7()),
        user_id: UserId::new(format!("user {}", fastrand::u8(..))),
        content: "A question of some length, as people ask them. ".repeat(8),
        model: None,
        strategy: Strategy::Enqueue,
        metadata: None,
        accepted_at: now,
        fingerprint: None,
        input: Default::default(),
        looked_at: Default::default(),
    };
    let mut task = Task::queued(request.task_id);
    task.status = Status::Completed;
    task.attempt = 1;
    task.message_id = Some(request.message_id);
    task.reply.message_id = Some(request.reply_message_id);
    task.reply.content = "An answer that goes on for a while. ".repeat(15);
    task.timings = Timings::from_instants(Some(now), Some(now), Some(now), Some(now));
    let reply =
        ReplyCompleted { user_id: request.user_id.clone(), session_id: request.session_id, task, webhook: None };
    (request, reply)
}

async fn write(store: &PostgresStore, clock: &Clock) -> [Duration; 2] {
    let (request, reply) = conversation(clock);
    let begun = Instant::now();
    store.record_message_submitted(&request).await.unwrap();
    let submitted = begun.elapsed();
    store.record_reply_completed(&reply).await.unwrap();
    [submitted, begun.elapsed() - submitted]
}

fn report(what: &str, mut times: Vec<Duration>, took: Duration) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1_000.0;
    let rate = times.len() as f64 / took.as_secs_f64();
    println!("{what}: {rate:.0}/s, p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

#[tokio::main]
async fn main() {
    let DatabaseSettings::Postgres(settings) = Settings::from_environment().unwrap().database else {
        println!("DATABASE_URL names no Postgres");
        return;
    };
    println!("pool of {}", settings.pool_size);
    let clock = Clock::system();
    let store = PostgresStore::new(Database::new(settings, clock.clone()));
    write(&store, &clock).await;

    let begun = Instant::now();
    let (mut submitted, mut replied) = (Vec::new(), Vec::new());
    for _ in 0..LONE {
        let [one, other] = write(&store, &clock).await;
        submitted.push(one);
        replied.push(other);
    }
    report("one after the other, message.submitted", submitted, begun.elapsed());
    report("one after the other, reply.completed  ", replied, begun.elapsed());

    let begun = Instant::now();
    let times: Vec<[Duration; 2]> =
        stream::iter(0..MANY).map(|_| write(&store, &clock)).buffer_unordered(AT_ONCE).collect().await;
    report(&format!("{AT_ONCE} at once, events"), times.into_flattened(), begun.elapsed());

    let begun = Instant::now();
    let mut times = Vec::new();
    for user in 0..=u8::MAX {
        let one = Instant::now();
        let page = PageRequest { limit: 20, from: None };
        store.sessions(&UserId::new(format!("user {user}")), &page).await.unwrap();
        times.push(one.elapsed());
    }
    report("pages of 20 sessions", times, begun.elapsed());
}
