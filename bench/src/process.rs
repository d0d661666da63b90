//! The programs under load, each a process of its own so that its CPU time and memory are its own.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::{Fallible, http::Connection};

/// A debug build on a busy machine starts within this.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The server promises to stop within 10 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(12);
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(1);

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Where the services are that run apart.
    folder: PathBuf,
    /// `parlance`.
    pub server: PathBuf,
    /// `parlance-mock-llm`.
    pub mock: PathBuf,
}

impl Programs {
    /// From `PARLANCE_BIN` and `PARLANCE_MOCK_LLM_BIN`, else those in `PARLANCE_BIN_DIR`, else those in `folder`.
    ///
    /// # Errors
    /// When one is missing.
    pub fn find(folder: &Path) -> Fallible<Self> {
        let folder = std::env::var_os("PARLANCE_BIN_DIR").map_or_else(|| folder.to_owned(), PathBuf::from);
        let at = |variable: &str, name: &str| {
            let path = std::env::var_os(variable).map_or_else(|| folder.join(name), PathBuf::from);
            if path.is_file() {
                Ok(path)
            } else {
                Err(format!("{} is missing: build it, or say where it is by {variable}", path.display()))
            }
        };
        let server = at("PARLANCE_BIN", "parlance")?;
        let mock = at("PARLANCE_MOCK_LLM_BIN", "parlance-mock-llm")?;
        Ok(Self { folder, server, mock })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A service of this name.
    ///
    /// # Errors
    /// When it is not built.
    pub fn service(&self, name: &str) -> Fallible<PathBuf> {
        let path = self.folder.join(name);
        if path.is_file() { Ok(path) } else { Err(format!("{} is missing: build it", path.display()).into()) }
    }
}

/// A started program.
pub struct Process {
    child: Child,
    /// Its process id.
    pub pid: u32,
    /// Where it listens.
    pub address: SocketAddr,
}

/// How the server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The program.
    pub program: PathBuf,
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// 0 takes any free port.
    pub port: u16,
    /// `LLM_BASE_URL`.
    pub llm: String,
    /// Its log goes here.
    pub log: PathBuf,
    /// More settings.
    pub settings: Vec<(&'static str, String)>,
}

/// How a service is started.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// The program.
    pub program: PathBuf,
    /// The port that it is told.
    pub port: u16,
    /// All it says goes here.
    pub log: PathBuf,
    /// All its other settings.
    pub settings: Vec<(&'static str, String)>,
}

impl Process {
    /// Starts a service; it may not listen yet.
    ///
    /// # Errors
    /// When the program can't be run.
    pub fn start_service(options: &ServiceOptions) -> Fallible<Self> {
        let log = File::options().create(true).append(true).open(&options.log)?;
        let mut command = told(&options.program, options.port, &options.settings);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id().ok_or("the program ended at once")?;
        Ok(Self { child, pid, address: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)) })
    }

    /// Starts the mock LLM.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_mock(program: &Path, log_limit: u32) -> Fallible<Self> {
        let mut command = Command::new(program);
        command.args(["--log", &log_limit.to_string()]).stderr(Stdio::inherit());
        Self::start(command).await
    }

    /// Starts the server; it listens, but may not be ready yet.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_server(options: &ServerOptions) -> Fallible<Self> {
        let log = File::options().create(true).append(true).open(&options.log)?;
        let mut command = told(&options.program, options.port, &options.settings);
        command
            .env("DATA_DIR", &options.data_dir)
            .env("LLM_BASE_URL", &options.llm)
            .env("LLM_MODEL", "mock")
            .stderr(log);
        Self::start(command).await.map_err(|error| format!("{error} (its log is {})", options.log.display()).into())
    }

    async fn start(mut command: Command) -> Fallible<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = child.id().ok_or("the program ended at once")?;
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = timeout(START_TIMEOUT, async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = address_in(&line) {
                    return Ok(address);
                }
            }
            Err(format!("{:?} ended without saying where it listens", command.as_std().get_program()).into())
        })
        .await
        .map_err(|_| "the program did not say where it listens")
        .map_err(crate::Stop::from)
        .flatten()?;
        // Whatever else it prints must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, pid, address })
    }

    /// Waits until `/health/ready` says so.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ready(&self) -> Fallible<()> {
        let since = Instant::now();
        while !self.is_ready().await {
            if since.elapsed() > START_TIMEOUT {
                return Err("the server did not become ready".into());
            }
            sleep(READY_POLL).await;
        }
        Ok(())
    }

    /// Whether `/health/ready` says so now.
    pub async fn is_ready(&self) -> bool {
        if let Ok(mut connection) = Connection::open(self.address).await
            && let Ok(response) = connection.exchange(START_TIMEOUT, "GET", "/health/ready", "", None).await
        {
            return response.status == 200;
        }
        false
    }

    /// How it ended, when it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The mock's `…/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Ends it with SIGKILL, as a crash does.
    ///
    /// # Errors
    /// When it had ended before.
    pub async fn kill(mut self) -> Fallible<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the server ended on its own: {status}").into());
        }
        self.child.start_kill()?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// When it does not in time, or not with success.
    pub async fn stop(mut self) -> Fallible<()> {
        signal(self.pid, "TERM").await?;
        let status = timeout(STOP_TIMEOUT, self.child.wait()).await.map_err(|_| "the server does not stop")??;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}").into()) }
    }
}

/// A program with its settings. Nothing of the caller's own may change what is measured.
fn told(program: &Path, port: u16, settings: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PORT", port.to_string())
        .env("HOST", "127.0.0.1")
        // A request to the model that is nobody's reply, unless it is what the settings want.
        .env("HEADINGS", "off")
        .envs(settings.iter().map(|(name, value)| (name, value)));
    command
}

/// Sends a signal by its name.
///
/// # Errors
/// When there is no such process.
pub async fn signal(pid: u32, name: &str) -> Fallible<()> {
    // The shell's own `kill`: the standard library can send no signal but SIGKILL.
    let kill = format!("kill -{name} {pid}");
    let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().await?;
    if status.success() { Ok(()) } else { Err(format!("no SIG{name} to process {pid}").into()) }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    rest.split(|c: char| c == '/' || c.is_whitespace()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_first_lines_are_understood() {
        let address = Some("127.0.0.1:41".parse().unwrap());
        assert_eq!(address_in("parlance listening on http://127.0.0.1:41 (LLM: mock)"), address);
        assert_eq!(address_in("http://127.0.0.1:41/v1"), address);
        assert_eq!(address_in("starting"), None);
    }
}
