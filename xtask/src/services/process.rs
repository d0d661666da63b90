//! Programs that go on when xtask has ended: how they are started, found again and stopped.
//!
//! A process is known by its own command line, which names a folder that belongs to one instance of the services. A
//! number in a file would be wrong after a reboot, and missing when xtask was killed between the start and the writing.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::{BuildHasher as _, Hasher as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(50);
/// The kernel needs a moment to free a large process.
const FORCE: Duration = Duration::from_secs(10);
/// Of a failed program's log, this much is shown.
const TAIL_LINES: usize = 25;
/// Below the ports that systems give to outgoing connections (Linux: from 32768). A client's connection must never sit on
/// the port of a service that is just being started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A program as it is found among all processes.
pub(super) struct Marked {
    /// The file name of the program.
    pub(super) program: &'static str,
    /// An argument that no other process has.
    pub(super) argument: String,
}

/// What ends a process.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    /// Postgres: the fast shutdown.
    Interrupt,
    Terminate,
    Kill,
}

impl Marked {
    /// The numbers of the processes.
    pub(super) fn processes(&self) -> Vec<u32> {
        command_lines().into_iter().filter(|(_, words)| self.is(words)).map(|(process, _)| process).collect()
    }

    fn is(&self, words: &[String]) -> bool {
        let program = words.first().and_then(|word| Path::new(word).file_name());
        program.is_some_and(|program| program == self.program) && words.contains(&self.argument)
    }

    /// Ends the processes, with force when they are still there after `patience`.
    pub(super) fn stop(&self, signal: Signal, patience: Duration) -> Result<(), String> {
        self.send(signal);
        wait_until(patience, || self.processes().is_empty());
        let are_gone = wait_until(FORCE, || {
            let are_gone = self.processes().is_empty();
            if !are_gone {
                self.send(Signal::Kill);
            }
            are_gone
        });
        if are_gone {
            Ok(())
        } else {
            Err(format!("{} can't be stopped: processes {:?}", self.program, self.processes()))
        }
    }

    /// Each was started as the leader of its group: what it has started goes with it.
    pub(super) fn send(&self, signal: Signal) {
        let (name, is_group) = match signal {
            // To the postmaster alone, who tells the others.
            Signal::Interrupt => ("INT", false),
            Signal::Terminate => ("TERM", true),
            Signal::Kill => ("KILL", true),
        };
        for process in self.processes() {
            let group = if is_group { "-" } else { "" };
            let script = format!("kill -{name} -- {group}{process} || kill -{name} {process}");
            let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
        }
    }
}

/// All processes that this user may see, with their arguments.
fn command_lines() -> Vec<(u32, Vec<String>)> {
    let Ok(entries) = fs::read_dir("/proc") else { return listed_by_ps() };
    let processes = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let lines: Vec<_> = processes
        .filter_map(|process| {
            let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
            let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            Some((process, words.collect()))
        })
        .collect();
    if lines.is_empty() { listed_by_ps() } else { lines }
}

/// Where there is no `/proc`.
fn listed_by_ps() -> Vec<(u32, Vec<String>)> {
    let Ok(output) = Command::new("ps").args(["-axww", "-o", "pid=,args="]).output() else { return Vec::new() };
    String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_ps).collect()
}

fn parse_ps(line: &str) -> Option<(u32, Vec<String>)> {
    let mut words = line.split_whitespace();
    let process = words.next()?.parse().ok()?;
    Some((process, words.map(str::to_owned).collect()))
}

/// A program that was started, and outlives this one.
pub(super) struct Started(Arc<AtomicBool>);

impl Started {
    /// In a group of its own, out of reach of the terminal's Ctrl-C, its output in a file.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", log.display());
        let output = File::create(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        command.process_group(0).stdin(Stdio::null()).stdout(output).stderr(errors);
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", crate::workspace::shown(command)))?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&has_ended);
        // Should it end while this program runs, it must not stay in the list of processes.
        thread::spawn(move || {
            let _ = child.wait();
            ended.store(true, Ordering::Release);
        });
        Ok(Self(has_ended))
    }

    /// Not asked of the list of processes, where a new one has no command line yet.
    pub(super) fn has_ended(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Whether the condition came true in time.
pub(super) fn wait_until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if since.elapsed() > deadline {
            return false;
        }
        thread::sleep(PAUSE);
    }
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> Result<u16, String> {
    let count = u64::from(PORTS.end - PORTS.start);
    (0..200)
        .map(|_| PORTS.start + u16::try_from(random() % count).unwrap_or_default())
        .find(|port| is_free(*port))
        .ok_or_else(|| "no free port was found".to_owned())
}

/// Where it was, when that is possible: whoever waits for it finds it again. A killed program's port is given back only when
/// its last child has ended.
pub(super) fn port_as_before(old: Option<u16>) -> Result<u16, String> {
    old.filter(|port| wait_until(FORCE, || is_free(*port))).map_or_else(free_port, Ok)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A number that another run does not have.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The end of a log, for a message.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
    format!("the end of {}:\n  {last}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_the_program_itself_is_meant() {
        let marked = Marked { program: "postgres", argument: "/data/1".to_owned() };
        assert!(marked.is(&words("/usr/bin/postgres -D /data/1 -p 20001")));
        assert!(!marked.is(&words("/usr/bin/postgres -D /data/12 -p 20001")), "another instance");
        assert!(!marked.is(&words("tail -f /data/1")));
        assert!(!marked.is(&words("postgres: checkpointer")));
        assert!(!marked.is(&[]));
    }

    #[test]
    fn the_list_of_ps_is_understood() {
        assert_eq!(parse_ps("  812 /bin/java -Da=b -jar x"), Some((812, words("/bin/java -Da=b -jar x"))));
        assert_eq!(parse_ps(""), None);
    }

    #[test]
    fn a_started_program_is_found_and_stopped() {
        let folder = std::env::temp_dir().join(format!("parlance-process-{:x}", random()));
        fs::create_dir(&folder).unwrap();
        let argument = format!("marker={}", folder.display());
        // `sh` stays, because it has something to do after the pause; what it started must go with it.
        let script = "trap '' TERM; sleep 600; true";
        let mut command = Command::new("sh");
        let started = Started::start(command.args(["-c", script, &argument]), &folder.join("log")).unwrap();
        let marked = Marked { program: "sh", argument };
        assert!(wait_until(Duration::from_secs(10), || marked.processes().len() == 1));
        assert!(!started.has_ended());
        marked.stop(Signal::Terminate, Duration::from_millis(200)).unwrap();
        assert!(marked.processes().is_empty());
        assert!(wait_until(Duration::from_secs(10), || started.has_ended()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_used_port_is_not_free() {
        let port = free_port().unwrap();
        assert!(PORTS.contains(&port));
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
    }

    #[test]
    fn the_tail_is_short() {
        let log = std::env::temp_dir().join(format!("parlance-tail-{:x}", random()));
        fs::write(&log, (0..100).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
        let tail = tail(&log);
        assert!(tail.ends_with("line 99") && tail.contains("line 75\n") && !tail.contains("line 74\n"), "{tail}");
        fs::remove_file(log).unwrap();
    }
}
