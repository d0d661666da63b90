//! A program as a process: its output, its signals, its end.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::PATIENCE;

/// The program, with nothing of the test's own environment. Where `PARLANCE_BIN_DIR` says, or else where cargo puts it.
pub fn program(name: &str) -> Command {
    let folder = std::env::var_os("PARLANCE_BIN_DIR")
        .map_or_else(|| std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned(), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "there is no {} (cargo build -p {name})", path.display());
    let mut command = Command::new(path);
    command.env_clear().env("PORT", "0").stdin(Stdio::null());
    command
}

/// How a process ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A started program. Killed when dropped.
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    /// Starts it and collects what it writes.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, ended: None, stdout: Lines::of(stdout), stderr: Lines::of(stderr) }
    }

    pub fn has_ended(&mut self) -> bool {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended.is_some()
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        assert!(!self.has_ended(), "it ended on its own: {}", self.log());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: the standard library sends SIGKILL only.
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        self.stdout.all() + &self.stderr.all()
    }

    /// Waits for a line that `wanted` makes something of; `None` when it ended without one.
    pub async fn find<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Before the lines are looked at: what it wrote at last must be seen.
            let is_over = self.has_ended() && self.stdout.is_over() && self.stderr.is_over();
            let found = self.log().lines().find_map(&wanted);
            if found.is_some() || is_over {
                return found;
            }
            assert!(Instant::now() < deadline, "no such line: {}", self.log());
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for a line with these words.
    pub async fn says(&mut self, words: &str) -> String {
        let found = self.find(|line| line.contains(words).then(|| line.to_owned())).await;
        found.unwrap_or_else(|| panic!("it never said {words:?}: {}", self.log()))
    }

    /// Waits until it ends by itself.
    pub async fn end(mut self) -> Ended {
        self.find(|_| None::<()>).await;
        Ended { code: self.ended.unwrap().code(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            println!("--- the log of process {}\n{}", self.child.id(), self.log());
        } else {
            let log = self.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// What a process writes to one of its streams.
struct Lines(Arc<Mutex<(Vec<u8>, bool)>>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let written = Arc::<Mutex<(Vec<u8>, bool)>>::default();
        let lines = Arc::clone(&written);
        // A thread of its own: the pipe must be emptied also while the test is blocked.
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                lines.lock().unwrap().0.append(&mut line);
            }
            lines.lock().unwrap().1 = true;
        });
        Self(written)
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap().1
    }

    fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap().0).into_owned()
    }
}
