//! What Linux knows of a process: CPU time and memory.

use std::fs;

use crate::Fallible;

/// The kernel shows CPU times in ticks of this many to the second, on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time that the process has used, in seconds.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn cpu_seconds(pid: u32) -> Fallible<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; what follows it does not.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no process state")?;
    let ticks: Vec<f64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok((user + system) / TICKS_PER_SECOND),
        _ => Err("no CPU times in /proc".into()),
    }
}

/// Resident memory of the process in KiB.
///
/// # Errors
/// When there is no such process or no `/proc`.
pub fn resident_kib(pid: u32) -> Fallible<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        assert!(cpu_seconds(std::process::id()).unwrap() >= 0.0);
        assert!(resident_kib(std::process::id()).unwrap() > 100.0);
        assert!(cpu_seconds(u32::MAX).is_err());
    }
}
