//! Who gives the command: the mark that a replay leaves names them.

use std::{env, fs, os::unix::fs::MetadataExt as _};

/// `--by`, or the user and the host as far as they are known.
pub(crate) fn operator(by: Option<&str>) -> String {
    match by.map(str::trim) {
        Some(by) if !by.is_empty() => by.to_owned(),
        _ => format!("{}@{}", user(), host()),
    }
}

fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| variable(name));
    named.unwrap_or_else(|| match fs::metadata("/proc/self") {
        Ok(process) => format!("uid-{}", process.uid()),
        Err(_) => "unknown".to_owned(),
    })
}

fn host() -> String {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let read = |file: &&str| fs::read_to_string(file).ok().and_then(|name| some(&name));
    files.iter().find_map(read).or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "unknown".to_owned())
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().and_then(|value| some(&value))
}

fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_name_is_taken_and_else_there_is_one() {
        assert_eq!(operator(Some("night shift")), "night shift");
        let known = operator(Some("  "));
        assert!(known.contains('@') && known.len() > 2, "{known}");
    }
}
