//! A private Postgres that is as safe as a real one (fsync on), for suites that each make a database of their own in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{
    Problem,
    place::Place,
    process::{self, Marked, Signal, Started},
    programs::Programs,
    state::State,
    wire,
};

/// After a crash all files of many databases are made safe first.
const DEADLINE: Duration = Duration::from_secs(240);
const STOP: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(2);
/// For what passes by itself, or after a change.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(500);
const SETTINGS: [&str; 5] =
    ["fsync=on", "full_page_writes=on", "synchronous_commit=on", "max_connections=300", "listen_addresses=127.0.0.1"];

/// What tests are given.
pub(super) fn url(state: &State) -> String {
    format!("postgres://postgres@127.0.0.1:{}/postgres", state.port)
}

/// The folder of its Unix socket.
pub(super) fn socket(place: &Place) -> PathBuf {
    place.home.join("socket")
}

/// Its certificate, when it speaks TLS.
pub(super) fn certificate(place: &Place) -> Option<PathBuf> {
    Some(place.home.join("tls/server.crt")).filter(|file| file.is_file())
}

pub(super) fn state_file(place: &Place) -> PathBuf {
    place.state.join("postgres.state")
}

pub(super) fn log(place: &Place) -> PathBuf {
    place.state.join("postgres.log")
}

/// What runs, when it answers and is ours.
pub(super) fn running(place: &Place) -> Option<State> {
    State::read(&state_file(place)).filter(|state| answers(place, state.port).is_ok())
}

/// The state, and whether it was started now.
pub(super) fn up(place: &Place) -> Result<(State, bool), Problem> {
    if let Some(state) = running(place) {
        return Ok((state, false));
    }
    place.make_home()?;
    // Alive but silent, or of a run that was killed before it wrote down the port.
    marked(place).stop(Signal::Interrupt, STOP)?;
    let programs = Programs::find(place)?;
    make_data(place, &programs)?;
    let mut port = process::port_as_before(State::read(&state_file(place)).map(|state| state.port))?;
    for attempt in 1.. {
        match start(place, &programs, port) {
            Ok(()) => break,
            Err(why) if attempt == ATTEMPTS => return Err(why.into()),
            Err(why) if why.contains("Address already in use") => port = process::free_port()?,
            // Children of a killed one are about to end.
            Err(why) if why.contains("is still in use") => std::thread::sleep(PAUSE),
            // It is known not to run. Somebody else may have its number, or it was killed and nobody has taken note of its
            // end. Its children have ended by then.
            Err(why) if why.contains("postmaster.pid\" already exists") => {
                std::thread::sleep(PAUSE);
                if attempt > ATTEMPTS / 2 {
                    let _ = fs::remove_file(data(place).join("postmaster.pid"));
                }
            }
            Err(why) => return Err(why.into()),
        }
    }
    let tls = if certificate(place).is_some() { "TLS on" } else { "without TLS" };
    let state = State { port, what: format!("{}, {tls}", programs.what) };
    state.write(&state_file(place))?;
    Ok((state, true))
}

/// Stops it and removes its data.
pub(super) fn down(place: &Place) -> Result<(), String> {
    marked(place).stop(Signal::Interrupt, STOP)?;
    if place.home.exists() {
        fs::remove_dir_all(&place.home).map_err(|error| format!("{}: {error}", place.home.display()))?;
    }
    for file in [state_file(place), log(place)] {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

pub(super) fn marked(place: &Place) -> Marked {
    Marked { program: "postgres", argument: data(place).to_string_lossy().into_owned() }
}

fn data(place: &Place) -> PathBuf {
    place.home.join("data")
}

/// Another Postgres on this port would name another folder.
fn answers(place: &Place, port: u16) -> Result<(), String> {
    let folder = wire::query(port, ANSWER, "SHOW data_directory")?;
    if Path::new(&folder) == data(place) { Ok(()) } else { Err(format!("{folder} is served on port {port}")) }
}

/// A fresh data folder, unless one of the same version is there.
fn make_data(place: &Place, programs: &Programs) -> Result<(), String> {
    let made = place.home.join("made");
    // The programs and the user as well: another version can't read these files, another user may not.
    let made_by = format!("{}\n{}\n{:?}\n", programs.what, programs.folder.display(), place.account);
    if fs::read_to_string(&made).is_ok_and(|text| text == made_by) {
        return Ok(());
    }
    let _ = fs::remove_file(&made);
    let data = place.make_folder("data", 0o700)?;
    let mut initdb = place.command(&programs.folder.join("initdb"));
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]).arg(&data);
    let output = initdb.output().map_err(|error| format!("initdb: {error}"))?;
    if !output.status.success() {
        return Err(format!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let tls = place.make_folder("tls", 0o755)?;
    if let Err(why) = can_do_tls(place, programs).and_then(|()| make_certificate(place, &tls)) {
        eprintln!("Postgres does without TLS: {why}");
        place.make_folder("tls", 0o755)?;
    }
    fs::write(&made, made_by).map_err(|error| format!("{}: {error}", made.display()))
}

/// The wheel's programs are built without it.
fn can_do_tls(place: &Place, programs: &Programs) -> Result<(), String> {
    let mut postgres = place.command(&programs.folder.join("postgres"));
    let output = postgres.arg("-D").arg(data(place)).args(["-c", "ssl=on", "-C", "ssl"]).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or_default().trim().to_owned())
}

/// Signed by itself, and no authority, so that it can be its own trust anchor.
fn make_certificate(place: &Place, folder: &Path) -> Result<(), String> {
    const REQUEST: &str = "[req]\ndistinguished_name=name\nx509_extensions=server\nprompt=no\n[name]\nCN=localhost\n\
        [server]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
    let [request, key, certificate] = ["request.cnf", "server.key", "server.crt"].map(|name| folder.join(name));
    fs::write(&request, REQUEST).map_err(|error| error.to_string())?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    openssl.args(["-days", "3650", "-config"]).arg(&request).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let output = openssl.output().map_err(|error| format!("openssl: {error}"))?;
    if !output.status.success() {
        return Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(|error| error.to_string())?;
    place.give(&key)
}

/// Starts it and waits until it answers a query.
fn start(place: &Place, programs: &Programs, port: u16) -> Result<(), String> {
    // A killed one's socket is not taken for a living one's.
    place.make_folder("socket", 0o755)?;
    let mut command = place.command(&programs.folder.join("postgres"));
    command.arg("-D").arg(data(place)).args(["-p", &port.to_string(), "-k"]).arg(socket(place));
    command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
    if let Some(certificate) = certificate(place) {
        let file = |name: &str, path: &Path| format!("{name}={}", path.display());
        let key = certificate.with_extension("key");
        command.args(["-c", "ssl=on", "-c", &file("ssl_cert_file", &certificate), "-c", &file("ssl_key_file", &key)]);
    }
    let log = log(place);
    let started = Started::start(&mut command, &log)?;
    let mut last = Ok(());
    process::wait_until(DEADLINE, || {
        last = answers(place, port);
        last.is_ok() || started.has_ended()
    });
    match last {
        Ok(()) => Ok(()),
        Err(_) if started.has_ended() => Err(format!("Postgres ended at its start; {}", process::tail(&log))),
        Err(why) => {
            marked(place).stop(Signal::Interrupt, STOP)?;
            Err(format!("Postgres is not ready after {} s ({why}); {}", DEADLINE.as_secs(), process::tail(&log)))
        }
    }
}
