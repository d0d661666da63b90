//! What a person, or a test, types: `up`, `down`, `status`, `kill`.

use std::{io::Write as _, time::Duration};

use crate::{Outcome, workspace::Workspace};

use super::{
    Name, Part, down, emulator, emulator_part, instances, locked,
    place::Place,
    postgres, postgres_part,
    process::{self, Signal},
    up,
};

const USAGE: &str = "\
usage: cargo xtask services [--instance NAME] <command> [postgres] [emulator]

  up        start what does not run, and print the variables that tests read
  status    what runs, and where
  down      stop it and remove its data; without --instance, also all instances
  kill      end it like a crash: its data stays, and `up` starts it again on the same port

An instance of a name of its own is for a test that stops and kills it.";

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Outcome {
    let (instance, rest) = match arguments {
        [flag, name, rest @ ..] if flag == "--instance" => (Some(valid(name)?), rest),
        rest => (None, rest),
    };
    let (command, names) = rest.split_first().ok_or(USAGE)?;
    let names = names_of(names)?;
    let place = Place::new(workspace, instance)?;
    match command.as_str() {
        "up" => start(&place, &names),
        "status" => status(&place, &names),
        "down" => stop(workspace, &place, instance, &names),
        "kill" => kill(&place, &names),
        _ => Err(USAGE.to_owned()),
    }
}

/// It becomes a folder's name.
fn valid(name: &str) -> Result<&str, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain) {
        return Ok(name);
    }
    Err(format!("an instance's name has small letters, digits and dashes, 64 at the most: {name:?}"))
}

fn names_of(words: &[String]) -> Result<Vec<Name>, String> {
    if words.is_empty() {
        return Ok(Name::ALL.to_vec());
    }
    let name = |word: &String| Name::ALL.into_iter().find(|name| name.word() == word).ok_or_else(|| USAGE.to_owned());
    words.iter().map(name).collect()
}

fn start(place: &Place, names: &[Name]) -> Outcome {
    let services = up(place, names)?;
    for (name, part) in services.parts().filter(|(name, _)| names.contains(name)) {
        if let Ok(part) = part {
            let how = if part.is_fresh { "started" } else { "runs" };
            eprintln!("{:9} {how:8} {} at {}", name.word(), part.what, part.address);
        }
    }
    // For `eval "$(cargo xtask services up)"`. Nobody has to read it.
    let lines: String = services.variables().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let _ = std::io::stdout().write_all(lines.as_bytes());
    services.require(names)
}

fn status(place: &Place, names: &[Name]) -> Outcome {
    let mut absent = Vec::new();
    for name in names {
        let (part, log): (Option<Part>, _) = match name {
            Name::Postgres => {
                (postgres::running(place).map(|state| postgres_part(place, &state, false)), postgres::log(place))
            }
            Name::Emulator => {
                (emulator::running(place).map(|state| emulator_part(&state, false)), emulator::log(place))
            }
        };
        let Some(part) = part else {
            let processes = marked(place, *name).processes();
            let why = if processes.is_empty() { "does not run" } else { "runs, but does not answer" };
            println!("{:9} {why}", name.word());
            absent.push(name.word());
            continue;
        };
        println!("{:9} answers  {}, at {}", name.word(), part.what, part.address);
        println!("{:9}          processes {:?}, log {}", "", marked(place, *name).processes(), log.display());
        for (variable, value) in part.variables {
            println!("{:9}          {variable}={value}", "");
        }
    }
    if absent.is_empty() { Ok(()) } else { Err(format!("not there: {} (cargo xtask services up)", absent.join(", "))) }
}

fn stop(workspace: &Workspace, place: &Place, instance: Option<&str>, names: &[Name]) -> Outcome {
    down(place, names)?;
    if instance.is_some() {
        // Instances come and go with the tests that make them: nothing of one is left.
        if !postgres::state_file(place).exists() && !emulator::state_file(place).exists() {
            std::fs::remove_dir_all(&place.state).map_err(|error| format!("{}: {error}", place.state.display()))?;
        }
        return Ok(());
    }
    for instance in instances(&place.state) {
        stop(workspace, &Place::new(workspace, Some(&instance))?, Some(&instance), names)?;
    }
    Ok(())
}

fn kill(place: &Place, names: &[Name]) -> Outcome {
    let _lock = locked(place)?;
    for name in names {
        let marked = marked(place, *name);
        if marked.processes().is_empty() {
            return Err(format!("{} does not run", name.word()));
        }
        marked.send(Signal::Kill);
        if !process::wait_until(Duration::from_secs(10), || marked.processes().is_empty()) {
            return Err(format!("{} is still there", name.word()));
        }
    }
    Ok(())
}

fn marked(place: &Place, name: Name) -> process::Marked {
    match name {
        Name::Postgres => postgres::marked(place),
        Name::Emulator => emulator::marked(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(names_of(&[]), Ok(Name::ALL.to_vec()));
        assert_eq!(names_of(&words(&["emulator"])), Ok(vec![Name::Emulator]));
        assert!(names_of(&words(&["postgres", "redis"])).is_err());
        assert!(valid("faults-1").is_ok());
        assert!(valid("../x").is_err() && valid("").is_err() && valid(&"a".repeat(65)).is_err());
    }
}
