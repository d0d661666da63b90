//! Kills the server at random moments and starts it again, on the same port and data folder.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    pin,
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::findings::Findings;
use crate::{
    Fallible,
    process::{Process, ServerOptions},
    random::Random,
};

/// How long to wait for a POST to interrupt.
const POST_WAIT: Duration = Duration::from_millis(500);

/// The server's life.
pub(super) struct Killer {
    options: ServerOptions,
    server: Option<Process>,
    ready_at: watch::Sender<Option<Instant>>,
    findings: Arc<Findings>,
    random: Random,
}

impl Killer {
    /// Starts the server for the first time; also gives its address, which it keeps, and since when it is ready.
    pub(super) async fn start(
        mut options: ServerOptions,
        findings: Arc<Findings>,
        random: Random,
    ) -> Fallible<(Self, SocketAddr, watch::Receiver<Option<Instant>>)> {
        let server = Process::start_server(&options).await?;
        server.ready().await?;
        let address = server.address;
        options.port = address.port();
        let (ready_at, receiver) = watch::channel(Some(Instant::now()));
        Ok((Self { options, server: Some(server), ready_at, findings, random }, address, receiver))
    }

    /// Kills up to `kills` times while the talk goes on.
    pub(super) async fn kill_during<T>(
        &mut self,
        kills: usize,
        posting: &Notify,
        talk: impl Future<Output = Fallible<T>>,
    ) -> Fallible<T> {
        pin!(talk);
        for _ in 0..kills {
            let life = Duration::from_millis(self.random.between(100, 1_000));
            let down = Duration::from_millis(self.random.between(0, 200));
            let during_post = self.random.chance(50).then(|| Duration::from_micros(self.random.between(0, 4_000)));
            let moment = async {
                sleep(life).await;
                if let Some(after) = during_post {
                    // The moment between a message's arrival and its 202 is short; aim at it.
                    let _ = timeout(POST_WAIT, posting.notified()).await;
                    sleep(after).await;
                }
            };
            tokio::select! {
                told = &mut talk => return told,
                () = moment => {}
            }
            let is_killed_early = self.random.chance(20);
            // The talk must go on during the crash, and a crash is never left half done.
            let crash = async {
                if is_killed_early {
                    self.restart_and_kill_before_ready(down).await?;
                }
                self.crash(down).await
            };
            pin!(crash);
            tokio::select! {
                crashed = &mut crash => crashed?,
                told = &mut talk => {
                    crash.await?;
                    return told;
                }
            }
        }
        talk.await
    }

    /// Kills the server, and starts it again after a while.
    pub(super) async fn crash(&mut self, down: Duration) -> Fallible<()> {
        self.kill().await?;
        sleep(down).await;
        let began = Instant::now();
        let server = Process::start_server(&self.options).await?;
        server.ready().await?;
        self.ready_at.send_replace(Some(Instant::now()));
        self.server = Some(server);
        self.findings.count("kills (SIGKILL)");
        if began.elapsed() > Duration::from_secs(5) {
            self.findings.count("restarts that took longer than 5 s");
        }
        Ok(())
    }

    async fn restart_and_kill_before_ready(&mut self, down: Duration) -> Fallible<()> {
        self.kill().await?;
        sleep(down).await;
        self.server = Some(Process::start_server(&self.options).await?);
        sleep(Duration::from_millis(self.random.between(0, 20))).await;
        self.findings.count("kills (SIGKILL) while it starts");
        Ok(())
    }

    async fn kill(&mut self) -> Fallible<()> {
        self.ready_at.send_replace(None);
        match self.server.take() {
            Some(server) => server.kill().await,
            None => Ok(()),
        }
    }

    /// Ends it in good order.
    pub(super) async fn stop(mut self) -> Fallible<()> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}
