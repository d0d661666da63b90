//! A load test of the real server: its figures are true, what goes wrong is counted as what it is, and it keeps its bounds.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "tests")]

mod support;

use std::{
    net::SocketAddr,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use parlance_bench::{
    api::{self, CALL_TIMEOUT},
    http::Connection,
    load_test::{self, LoadTest, Protocol, Report, target::Target},
    process::{self, Process, Programs, ServerOptions},
    proxy::Proxy,
};
use serde_json::{Value, json};
use support::programs;
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command, sync::watch, time::sleep};

/// A real server and the mock it asks.
struct World {
    programs: Programs,
    folder: TempDir,
    mock: Process,
    server: Process,
}

impl World {
    async fn start(settings: &[(&'static str, &str)]) -> Self {
        let programs = programs(&["parlance", "parlance-mock-llm"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mock = Process::start_mock(&programs.mock, 10_000).await.unwrap();
        let options = ServerOptions {
            program: programs.server.clone(),
            data_dir: folder.path().join("data"),
            port: 0,
            llm: mock.base_url(),
            log: folder.path().join("log"),
            settings: settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        };
        let server = Process::start_server(&options).await.unwrap();
        server.ready().await.unwrap();
        Self { programs, folder, mock, server }
    }

    async fn key(&self) -> String {
        let mut command = Command::new(&self.programs.server);
        command.args(["keys", "create", "--name", "load", "--user", "ann"]).env_clear();
        let output = command.env("DATA_DIR", self.folder.path().join("data")).output().await.unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let key = said.split_whitespace().find(|word| word.starts_with("plk_"));
        key.unwrap_or_else(|| panic!("{said} {}", String::from_utf8_lossy(&output.stderr))).to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let mut connection = Connection::open(self.server.address).await.unwrap();
        let answer = connection.exchange(CALL_TIMEOUT, "GET", path, "", None).await.unwrap();
        api::parse(&answer, 200).unwrap()
    }

    async fn sessions(&self) -> usize {
        self.get("/v1/sessions").await["data"].as_array().unwrap().len()
    }

    async fn asked_of_the_mock(&self) -> u64 {
        let mut connection = Connection::open(self.mock.address).await.unwrap();
        let answer = connection.exchange(CALL_TIMEOUT, "GET", "/mock/log", "", None).await.unwrap();
        api::parse::<Value>(&answer, 200).unwrap()["total"].as_u64().unwrap()
    }
}

fn test(message: &str) -> LoadTest {
    LoadTest {
        protocol: Protocol::Native,
        conversations: 4,
        rate: 100.0,
        duration: Duration::from_secs(60),
        max_messages: 24,
        max_tokens: 1_000_000,
        max_error_share: 1.0,
        turns: 3,
        message: message.to_owned(),
        model: None,
        reply_timeout: Duration::from_secs(30),
        keep_sessions: false,
        act_as_users: false,
    }
}

fn target(address: SocketAddr) -> Target {
    Target::new(&format!("http://{address}"), None, &|_| None).unwrap()
}

async fn run(test: LoadTest, address: SocketAddr) -> Report {
    let (_interrupt, interrupts) = watch::channel(0);
    load_test::run(test, target(address), interrupts).await.unwrap()
}

fn json_of(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

/// What can be counted must be the same wherever it is told.
fn agrees_with_itself(report: &Report) {
    let json = json_of(report);
    let sum =
        |name: &str| json["over_time"].as_array().unwrap().iter().map(|at| at[name].as_u64().unwrap()).sum::<u64>();
    let total = |name: &str| json[name].as_u64().unwrap();
    let kinds = |name: &str| json[name].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    for name in ["messages", "replies", "tokens", "resumes"] {
        assert_eq!(sum(name), total(name), "{name}: {json:#}");
    }
    assert_eq!((sum("errors"), sum("turned_away")), (kinds("errors"), kinds("turned_away")));
    assert_eq!(total("messages"), total("replies") + kinds("errors") + total("unfinished"), "{json:#}");
    for percentiles in json["measured"].as_object().unwrap().values().filter(|value| !value.is_null()) {
        let of = |name: &str| percentiles[name].as_f64().unwrap();
        let steps = [of("p50"), of("p90"), of("p95"), of("p99"), of("worst")];
        assert!(steps.is_sorted() || steps.iter().rev().is_sorted(), "{json:#}");
    }
}

#[tokio::test]
async fn the_figures_of_both_protocols_are_those_of_the_model() {
    let world = World::start(&[]).await;
    // 200 ms to the first of 21 tokens, then 10 ms for each.
    let message = "[[mock tokens=21 delay_ms=10 first_ms=200]]";
    for protocol in [Protocol::Native, Protocol::Chat] {
        let report = run(LoadTest { protocol, ..test(message) }, world.server.address).await;
        agrees_with_itself(&report);
        assert_eq!((report.messages, report.replies, report.tokens), (24, 24, 24 * 21), "{report:#?}");
        assert!(report.errors.is_empty() && report.turned_away.is_empty() && report.resumes == 0, "{report:#?}");
        assert_eq!((report.ended.as_str(), report.stopped_early), ("24 messages were sent", false));
        let json = json_of(&report);
        let p50 = |name: &str| json["measured"][name]["p50"].as_f64().unwrap();
        assert_eq!(json["measured"]["reply_ms"]["count"], 24);
        // A chat completion's head comes as early as the 202. Upper bounds are for a machine that does other things as well.
        assert!(p50("accept_ms") > 0.0 && p50("accept_ms") < 150.0, "{json:#}");
        assert!(p50("first_byte_ms") <= p50("first_token_ms") && p50("first_token_ms") < p50("reply_ms"), "{json:#}");
        assert!((195.0..900.0).contains(&p50("first_token_ms")), "{json:#}");
        assert!((395.0..2_500.0).contains(&p50("reply_ms")), "{json:#}");
        assert!((20.0..=101.0).contains(&p50("tokens_per_second")), "{json:#}");
        assert_eq!(report.sessions_left, 0);
    }
    assert_eq!(world.asked_of_the_mock().await, 48);
    assert_eq!(world.sessions().await, 0, "what the test made is still there");
    run(LoadTest { keep_sessions: true, max_messages: 6, ..test(message) }, world.server.address).await;
    assert!(world.sessions().await > 0);
}

#[tokio::test]
async fn failures_are_counted_by_their_kind_and_stop_it() {
    let world = World::start(&[("TURN_MAX_ATTEMPTS", "1")]).await;
    let failing = "[[mock tokens=5 fault=500]]";
    let report = run(LoadTest { max_error_share: 0.5, ..test(failing) }, world.server.address).await;
    agrees_with_itself(&report);
    assert!(report.stopped_early && report.ended.contains("failed"), "{report:#?}");
    assert!((10..20).contains(&report.messages), "it did not stop in time: {report:#?}");
    assert_eq!((report.replies, report.errors.len()), (0, 1), "{report:#?}");
    let kind = report.errors.keys().next().unwrap();
    assert!(kind.starts_with("task failed: "), "{kind}");
    assert!(report.markdown().contains(&format!("| **error**: {kind} | {} |", report.messages)));

    let report = run(LoadTest { max_tokens: 60, ..test("[[mock tokens=20]]") }, world.server.address).await;
    assert_eq!(report.ended, "60 tokens were used");
    assert!(report.messages < 12, "{report:#?}");
}

/// Streams that break, connections that are refused, POSTs of unknown fate: each reply comes whole all the same.
#[tokio::test]
async fn what_a_broken_network_cuts_is_taken_up_again() {
    let world = World::start(&[]).await;
    let proxy = Proxy::start(0, world.server.address).await.unwrap();
    let message = "[[mock tokens=60 delay_ms=20]]";
    for protocol in [Protocol::Native, Protocol::Chat] {
        let breaking = async {
            for n in 0..5 {
                sleep(Duration::from_millis(300)).await;
                match n {
                    2 => {
                        proxy.refuse();
                        sleep(Duration::from_millis(100)).await;
                        proxy.heal();
                    }
                    n => proxy.cut(n % 2 == 0),
                }
            }
            std::future::pending::<()>().await;
        };
        let test = LoadTest { protocol, max_messages: 12, ..test(message) };
        let report = tokio::select! {
            report = run(test, proxy.address) => report,
            () = breaking => unreachable!(),
        };
        agrees_with_itself(&report);
        assert_eq!((report.messages, report.replies, report.tokens), (12, 12, 12 * 60), "{report:#?}");
        assert!(report.errors.is_empty(), "{report:#?}");
        assert!(report.resumes >= 4, "{report:#?}");
    }
    assert_eq!(world.asked_of_the_mock().await, 24, "a repeated POST was another message");

    // A server that stays away: what can't go on is told as that.
    let report = tokio::select! {
        report = run(LoadTest { max_messages: 4, reply_timeout: Duration::from_secs(4), ..test(message) }, proxy.address) => report,
        () = async {
            sleep(Duration::from_millis(400)).await;
            proxy.refuse();
            std::future::pending::<()>().await;
        } => unreachable!(),
    };
    agrees_with_itself(&report);
    assert_eq!((report.replies, report.errors.values().sum::<u64>()), (0, 4), "{report:#?}");
    assert!(report.errors.keys().all(|kind| kind == "timeout: reply" || kind == "no connection"), "{report:#?}");
    assert!(report.sessions_left > 0, "nobody was there to delete them");
}

#[tokio::test]
async fn a_server_that_says_not_now_is_left_alone() {
    // Of ten calls a second, one is the check, and each message takes two or three.
    let world = World::start(&[("RATE_LIMIT_PER_IP", "10/s")]).await;
    let began = Instant::now();
    let report = run(test("[[mock tokens=2]]"), world.server.address).await;
    agrees_with_itself(&report);
    assert_eq!((report.replies, report.errors.len()), (24, 0), "{report:#?}");
    assert!(report.turned_away.contains_key("429 rate_limited"), "{report:#?}");
    assert!(began.elapsed() > Duration::from_secs(3), "48 calls in {:?}", began.elapsed());
    let all: u64 = report.turned_away.values().sum();
    assert!(all < 60, "it did not wait: {report:#?}");

    let world = World::start(&[("RATE_LIMIT_PER_IP", "4/h")]).await;
    let began = Instant::now();
    let report = run(test("[[mock tokens=2]]"), world.server.address).await;
    assert!(report.stopped_early && report.ended.contains("asked to come back"), "{report:#?}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

fn bench(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance-bench"));
    let url = format!("http://{}", world.server.address);
    command.env_clear().args(["load", "--url", &url]).args(arguments).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Well formed as far as it goes: every element is closed in its turn, and what must be escaped is.
fn elements(svg: &str) -> Vec<String> {
    let (mut open, mut all, mut rest) = (Vec::new(), Vec::new(), svg);
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>'), "{text}");
        let entities = text.split('&').skip(1);
        assert!(
            entities
                .into_iter()
                .all(|entity| ["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)))
        );
        let end = start + rest[start..].find('>').expect("a tag is not closed");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "closed out of turn");
            continue;
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        let name = tag.split([' ', '/']).next().unwrap().to_owned();
        if !tag.ends_with('/') {
            open.push(name.clone());
        }
        all.push(name);
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
    all
}

#[tokio::test]
async fn the_program_asks_first_shows_what_it_has_and_keeps_secrets() {
    let world = World::start(&[("AUTH_API_KEYS", "on")]).await;
    let key = world.key().await;
    let out = world.folder.path().join("out");
    let out = out.to_str().unwrap();

    let refused = bench(&world, &["--out", out]).output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("401") && said.contains("PARLANCE_API_KEY"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance-bench"));
    command.env_clear().args(["load", "--url", "https://parlance.example", "--out", out]);
    let refused = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("--yes-i-may-load parlance.example"), "{said}");
    let nobody = Proxy::start(0, world.server.address).await.unwrap();
    nobody.refuse();
    while TcpStream::connect(nobody.address).await.is_ok() {}
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance-bench"));
    command.env_clear().args(["load", "--url", &format!("http://{}", nobody.address), "--out", out]);
    let refused = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("can't be reached") && said.contains("refused"), "{said}");
    assert!(!Path::new(out).exists() && world.asked_of_the_mock().await == 0);

    let arguments = ["--out", out, "--message", "<&\"[[mock tokens=3]]", "--max-messages", "3", "--rate", "50"];
    let done = bench(&world, &arguments).env("PARLANCE_API_KEY", &key).output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said} {}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("| POST → first token, ms |") && said.contains("| whole replies | 3 "), "{said}");
    let read = |name: &str| std::fs::read_to_string(Path::new(out).join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("load.json")).unwrap();
    assert_eq!((&json["replies"], &json["measured"]["accept_ms"]["count"]), (&json!(3), &json!(3)));
    let elements = elements(&read("load.svg"));
    assert_eq!((elements[0].as_str(), elements[1].as_str()), ("svg", "title"));
    assert!(elements.iter().filter(|name| *name == "path").count() > 10, "an empty picture");
    for text in [&said, &read("load.json"), &read("load.svg"), &String::from_utf8_lossy(&done.stderr).into_owned()] {
        assert!(!text.contains(&key), "the key is shown");
    }

    // Ctrl-C: what is under way is given up, and what was measured is shown.
    let arguments = ["--out", out, "--message", "[[mock tokens=2000 delay_ms=50]]", "--rate", "50"];
    let running = bench(&world, &arguments).env("PARLANCE_API_KEY", &key).spawn().unwrap();
    let asked = world.asked_of_the_mock().await;
    while world.asked_of_the_mock().await < asked + 5 {
        sleep(Duration::from_millis(10)).await;
    }
    process::signal(running.id().unwrap(), "INT").await.unwrap();
    let ended = running.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && said.contains("; interrupted."), "{said}");
    assert!(said.contains("| given up by the interrupt | 5 |"), "{said}");
    assert!(!said.contains("left behind"), "what is under way costs on: {said}");
}
