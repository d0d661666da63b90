//! The binary as a process: its settings, its output, its end.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::PATIENCE;

/// The binary with nothing of the test's own environment.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parlance"));
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

impl Ended {
    /// Checks that it ended with this code and one message for the person who started it.
    #[track_caller]
    pub fn refused(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        no_panic(&self.stderr);
        self.stderr.strip_prefix("parlance: ").unwrap_or_else(|| panic!("not our message: {self:?}"))
    }

    /// The same for an end with a sentence of one line.
    #[track_caller]
    pub fn failed_with_a_sentence(&self) -> &str {
        let sentence = self.refused(1).strip_suffix('\n').unwrap();
        assert!(!sentence.is_empty() && !sentence.contains('\n'), "{self:?}");
        sentence
    }
}

/// Runs the binary to its end with these arguments and variables.
pub async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
    let mut command = command();
    command.args(arguments).envs(variables.iter().copied());
    Process::start(command).end().await
}

/// A started binary. Killed when dropped.
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    pub stdout: Lines,
    pub stderr: Lines,
}

impl Process {
    /// Starts it and collects what it writes.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { child, ended: None, stdout: Lines::of(stdout), stderr: Lines::of(stderr) }
    }

    /// Starts it with nobody at the other end of its output.
    pub fn start_unheard(mut command: Command) -> Self {
        let broken = || std::io::pipe().unwrap().1;
        let child = command.stdout(broken()).stderr(broken()).spawn().unwrap();
        Self { child, ended: None, stdout: Lines::of(std::io::empty()), stderr: Lines::of(std::io::empty()) }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        self.ended = self.ended.or_else(|| self.child.try_wait().unwrap());
        self.ended.is_some()
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        assert!(!self.has_ended(), "it ended on its own: {:?}", self.stderr.all());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, as supervisors do.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Does something while the process stands still.
    pub async fn paused<T>(&self, act: impl Future<Output = T>) -> T {
        self.signal("STOP");
        let done = act.await;
        self.signal("CONT");
        done
    }

    fn signal(&self, name: &str) {
        // The shell's own `kill`: the standard library sends SIGKILL only.
        let kill = format!("kill -{name} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits until it ends by itself.
    pub async fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_ended() {
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.stderr.all());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let code = self.ended.unwrap().code();
        Ended { code, stdout: self.stdout.rest().await, stderr: self.stderr.rest().await }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            no_panic(&self.stderr.all().join("\n"));
        }
    }
}

#[track_caller]
fn no_panic(stderr: &str) {
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
        assert!(!stderr.contains(word), "{stderr}");
    }
}

/// What a process writes to one of its streams.
pub struct Lines(watch::Receiver<Written>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    is_over: bool,
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = watch::channel(Written::default());
        // A thread of its own: the pipe must be emptied also while the test is blocked.
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                sender.send_modify(|written| written.lines.push(line));
            }
            sender.send_modify(|written| written.is_over = true);
        });
        Self(receiver)
    }

    /// What came so far.
    pub fn all(&self) -> Vec<String> {
        self.0.borrow().lines.clone()
    }

    /// The first line that `wanted` makes something of; `None` when the stream ends without one.
    pub async fn find<T>(&self, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut receiver = self.0.clone();
        let mut found = None;
        let mut looked_at = 0;
        let looking = receiver.wait_for(|written| {
            found = written.lines[looked_at..].iter().find_map(|line| wanted(line));
            looked_at = written.lines.len();
            found.is_some() || written.is_over
        });
        let in_time = tokio::time::timeout(PATIENCE, looking).await.is_ok();
        assert!(in_time, "no such line: {:?}", self.all());
        found
    }

    /// All of it, once the stream has ended.
    async fn rest(&self) -> String {
        self.find(|_| None::<()>).await;
        self.all().iter().map(|line| format!("{line}\n")).collect()
    }
}
