//! `cargo xtask services`: the real components that tests and benchmarks run against, private to a target folder.
//!
//! They are left running from one test run to the next. What each run needs of them is a database or a project of its own.

mod command;
mod emulator;
mod http;
mod place;
mod postgres;
mod process;
mod programs;
mod state;
mod wire;

use std::{
    env, fmt,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

pub(crate) use command::run;
pub(crate) use process::random;

use crate::{Outcome, workspace::Workspace};
use place::Place;

/// What tests find Postgres by: the URL of a superuser.
const POSTGRES_URL: &str = "PARLANCE_TEST_POSTGRES_URL";
/// The folder of the same server's Unix socket.
const POSTGRES_SOCKET: &str = "PARLANCE_TEST_POSTGRES_SOCKET";
/// The certificate that the same server shows, which is its own authority. Absent when it does not speak TLS.
const POSTGRES_CA: &str = "PARLANCE_TEST_POSTGRES_CA";
/// What tests find Google's Pub/Sub emulator by: host and port.
const EMULATOR_HOST: &str = "PARLANCE_TEST_PUBSUB_EMULATOR_HOST";
/// This program, for tests that start, kill and stop an instance of their own.
const XTASK: &str = "PARLANCE_XTASK";

/// One of the components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Postgres,
    Emulator,
}

impl Name {
    pub(crate) const ALL: [Self; 2] = [Self::Postgres, Self::Emulator];

    fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Emulator => "emulator",
        }
    }
}

/// Why a component can't be used.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// It is not on this machine.
    Missing {
        why: String,
        install: &'static str,
    },
    Failed(String),
}

impl From<String> for Problem {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { why, install } => write!(f, "{why}; install it with: {install}"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// A component that runs.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// How to reach it.
    pub(crate) address: String,
    /// What it is, with its version and where it came from.
    pub(crate) what: String,
    /// Variables for tests.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// It was not there before.
    is_fresh: bool,
}

impl Part {
    /// One that is found and not started.
    pub(crate) fn of(address: String, what: String, variables: Vec<(&'static str, String)>) -> Self {
        Self { address, what, variables, is_fresh: false }
    }
}

/// The components, in use until this is dropped: as long, nobody else's run stops them.
pub(crate) struct Services {
    pub(crate) postgres: Result<Part, Problem>,
    pub(crate) emulator: Result<Part, Problem>,
    in_use: Option<File>,
    /// Stopped at the end, because this run has started them and nobody comes after it.
    stops: Option<Place>,
}

/// Whether a missing component is an error.
pub(crate) fn is_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Starts the named components unless they run; a person's own, named by the variables that tests read, are taken as they
/// are. With `CI=true` each must be there.
pub(crate) fn ensure(workspace: &Workspace, names: &[Name]) -> Result<Services, String> {
    let place = Place::new(workspace, None)?;
    let in_use = lock_file(&place, "in-use.lock")?;
    in_use.lock_shared().map_err(|error| format!("in-use.lock: {error}"))?;
    let mut services = up(&place, names)?;
    services.in_use = Some(in_use);
    if is_ci() {
        let is_fresh = services.parts().any(|(_, part)| part.as_ref().is_ok_and(|part| part.is_fresh));
        services.stops = is_fresh.then_some(place);
        services.require(names)?;
    }
    Ok(services)
}

impl Services {
    /// Both, with their names.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Name, &Result<Part, Problem>)> {
        Name::ALL.into_iter().zip([&self.postgres, &self.emulator])
    }

    /// Fails when one of the named components is not there.
    pub(crate) fn require(&self, names: &[Name]) -> Outcome {
        let problems = self.parts().filter(|(name, _)| names.contains(name));
        let problems =
            problems.filter_map(|(name, part)| part.as_ref().err().map(|why| format!("{}: {why}", name.word())));
        let problems: Vec<_> = problems.collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// Tells a program where the components are.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.envs(self.variables());
        if let Ok(xtask) = env::current_exe() {
            command.env(XTASK, xtask);
        }
    }

    fn variables(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let parts = self.parts().filter_map(|(_, part)| part.as_ref().ok());
        parts.flat_map(|part| part.variables.iter().map(|(name, value)| (*name, value)))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.in_use = None;
        let Some(place) = self.stops.take() else { return };
        if let Err(why) = down(&place, &Name::ALL) {
            eprintln!("the services are left running: {why}");
        }
    }
}

/// Starts what does not run. What is not asked for is a problem of its own.
fn up(place: &Place, names: &[Name]) -> Result<Services, String> {
    let _lock = locked(place)?;
    let wanted = |name: Name| {
        if names.contains(&name) { Ok(()) } else { Err(Problem::Failed("it was not asked for".to_owned())) }
    };
    let (postgres, emulator) = thread::scope(|scope| {
        let postgres = scope.spawn(|| wanted(Name::Postgres).and_then(|()| up_postgres(place)));
        let emulator = wanted(Name::Emulator).and_then(|()| up_emulator(place));
        let panicked = |_| Err(Problem::Failed("the start of Postgres panicked".to_owned()));
        (postgres.join().unwrap_or_else(panicked), emulator)
    });
    Ok(Services { postgres, emulator, in_use: None, stops: None })
}

fn up_postgres(place: &Place) -> Result<Part, Problem> {
    if let Some(part) = given(place, POSTGRES_URL) {
        return Ok(part);
    }
    let (state, is_fresh) = postgres::up(place)?;
    Ok(postgres_part(place, &state, is_fresh))
}

fn postgres_part(place: &Place, state: &state::State, is_fresh: bool) -> Part {
    let address = postgres::url(state);
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let mut variables = vec![(POSTGRES_URL, address.clone()), (POSTGRES_SOCKET, path(postgres::socket(place)))];
    variables.extend(postgres::certificate(place).map(|file| (POSTGRES_CA, path(file))));
    Part { address, what: state.what.clone(), variables, is_fresh }
}

fn up_emulator(place: &Place) -> Result<Part, Problem> {
    if let Some(part) = given(place, EMULATOR_HOST) {
        return Ok(part);
    }
    let (state, is_fresh) = emulator::up(place)?;
    Ok(emulator_part(&state, is_fresh))
}

fn emulator_part(state: &state::State, is_fresh: bool) -> Part {
    let address = emulator::host(state);
    Part { address: address.clone(), what: state.what.clone(), variables: vec![(EMULATOR_HOST, address)], is_fresh }
}

/// A component that somebody else takes care of.
fn given(place: &Place, variable: &'static str) -> Option<Part> {
    let address = env::var(variable).ok().filter(|address| !address.is_empty() && !place.is_instance)?;
    let variables = vec![(variable, address.clone())];
    Some(Part { address, what: format!("as {variable} says"), variables, is_fresh: false })
}

/// Stops what runs and removes its data, unless somebody uses it.
fn down(place: &Place, names: &[Name]) -> Outcome {
    let in_use = lock_file(place, "in-use.lock")?;
    match in_use.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err("another run of tests or benchmarks uses them".to_owned()),
        Err(TryLockError::Error(error)) => return Err(format!("in-use.lock: {error}")),
    }
    let _lock = locked(place)?;
    for name in names {
        match name {
            Name::Postgres => postgres::down(place)?,
            Name::Emulator => emulator::down(place)?,
        }
    }
    Ok(())
}

/// One start or stop at a time.
fn locked(place: &Place) -> Result<File, String> {
    let lock = lock_file(place, "start.lock")?;
    lock.lock().map_err(|error| format!("start.lock: {error}"))?;
    Ok(lock)
}

/// The system gives a lock back when its holder dies.
fn lock_file(place: &Place, name: &str) -> Result<File, String> {
    let path = place.state.join(name);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    file.map_err(|error| format!("{}: {error}", path.display()))
}

/// The instances that tests have made for themselves.
fn instances(main: &Path) -> Vec<String> {
    let entries = fs::read_dir(main).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.filter_map(|folder| folder.file_name().into_string().ok()).collect()
}
