//! What it costs a call to say who makes it: by a key or a token that was seen a moment ago, and by a token that was not.

use std::{process::Stdio, time::Instant};

use serde::Deserialize;
use tokio::process::Command;

use super::{RUNS, Rig};
use crate::{
    Fallible, api,
    figure::{Figure, Judged},
    http::Connection,
    issuer::Issuer,
    process::{Process, ServerOptions},
    stats::percentile,
};

const CALLS: usize = 4_000;
const FIRST_TIMES: usize = 500;
const AUDIENCE: &str = "bench";
/// Both servers do the same but for who may call.
const OPEN: [(&str, &str); 5] = [
    ("RATE_LIMIT_PER_USER", "off"),
    ("RATE_LIMIT_PER_IP", "off"),
    ("MAX_TASKS_PER_USER", "off"),
    ("MAX_STREAMS_PER_USER", "off"),
    ("MAX_QUEUE_DELAY", "off"),
];

pub(super) async fn measure(rig: &Rig) -> Fallible<Vec<Figure>> {
    let issuer = Issuer::start().await?;
    let open = start(rig, "auth-none", &[]).await?;
    let with_keys = start(rig, "auth-keys", &[("AUTH_API_KEYS", "on".to_owned())]).await?;
    let oidc = ("AUTH_OIDC", format!("{}={AUDIENCE}", issuer.url));
    let with_tokens = start(rig, "auth-tokens", &[oidc]).await?;
    let key = bearer(&make_key(rig, "auth-keys").await?);
    let token = bearer(&issuer.token(AUDIENCE, "known")?);
    for server in [&with_keys, &with_tokens] {
        let mut connection = Connection::open(server.address).await?;
        expect(&mut connection, "", 401).await?;
    }
    let (mut none, mut keys, mut tokens, mut firsts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        none.push(call_micros(&open, std::iter::repeat_n(&String::new(), CALLS), CALLS / 4).await?);
        keys.push(call_micros(&with_keys, std::iter::repeat_n(&key, CALLS), CALLS / 4).await?);
        tokens.push(call_micros(&with_tokens, std::iter::repeat_n(&token, CALLS), CALLS / 4).await?);
        let fresh: Vec<String> = (0..FIRST_TIMES)
            .map(|subject| Ok(bearer(&issuer.token(AUDIENCE, &format!("{run}-{subject}"))?)))
            .collect::<Fallible<_>>()?;
        firsts.push(call_micros(&with_tokens, fresh.iter(), 0).await?);
    }
    for server in [open, with_keys, with_tokens] {
        server.stop().await?;
    }
    let figure = |name: &str, runs, note: String| Figure {
        name: name.to_owned(),
        unit: "µs",
        mark: 100.0,
        judged: Judged::AddedAtMost,
        runs,
        straight: none.clone(),
        notes: vec![note],
    };
    let first = crate::stats::median(&firsts);
    Ok(vec![
        figure("added to a call by its key, known, p50", keys, "straight: a server without identity; GET /".to_owned()),
        figure("added to a call by its token (ES256), known, p50", tokens, format!("never seen before: {first:.0} µs")),
    ])
}

async fn start(rig: &Rig, folder: &str, settings: &[(&'static str, String)]) -> Fallible<Process> {
    let open = OPEN.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let settings = open.chain(settings.iter().cloned()).collect();
    let server = Process::start_server(&ServerOptions { settings, ..rig.server(folder) }).await?;
    server.ready().await?;
    Ok(server)
}

/// Beside the running server, as an operator makes one.
async fn make_key(rig: &Rig, folder: &str) -> Fallible<String> {
    #[derive(Deserialize)]
    struct Made {
        key: String,
    }
    let options = rig.server(folder);
    let mut command = Command::new(&options.program);
    command.args(["keys", "create", "--name", "bench", "--user", "bench", "--json"]);
    command.env_clear().env("DATA_DIR", &options.data_dir).stdin(Stdio::null());
    let output = command.output().await?;
    if !output.status.success() {
        return Err(format!("no key: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(serde_json::from_slice::<Made>(&output.stdout)?.key)
}

fn bearer(credential: &str) -> String {
    format!("authorization: Bearer {credential}\r\n")
}

async fn expect(connection: &mut Connection, headers: &str, status: u16) -> Fallible<()> {
    let answer = connection.exchange(api::CALL_TIMEOUT, "GET", "/", headers, None).await?;
    if answer.status == status { Ok(()) } else { Err(format!("{} for GET /, not {status}", answer.status).into()) }
}

/// The p50 of calls with these headers, one after the other; the first ones do not count.
async fn call_micros<'a>(
    server: &Process,
    headers: impl Iterator<Item = &'a String>,
    uncounted: usize,
) -> Fallible<f64> {
    let mut connection = Connection::open(server.address).await?;
    let mut micros = Vec::with_capacity(CALLS);
    for (number, headers) in headers.enumerate() {
        let began = Instant::now();
        expect(&mut connection, headers, 200).await?;
        if number >= uncounted {
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(percentile(&micros, 0.5))
}
